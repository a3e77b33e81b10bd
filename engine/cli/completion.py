"""``cirrus completion``: what makes a shell complete commands, options and live names.

Place in flow: a command of its own; the shell asks ``cirrus`` itself for what may come next.
"""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

PROGRAM = "cirrus"
# Names of queues hold characters at which bash parts words: the parts are put together again, what
# stands before the last of them is not answered with, and what the shell would obey is escaped, or,
# in a word that begins with a quote, not offered: senders choose names.
_BASH = r"""
%(complete_func)s() {
    local line=$COMP_LINE last=-1 i word cut value kind
    local -a words=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ $i -eq 0 || $line == [[:space:]]* ]]; then
            line=${line#"${line%%%%[![:space:]]*}"}
            words[++last]=
        fi
        words[last]+=$word
        line=${line#"$word"}
    done
    cut=${words[last]}
    [[ $word != +([$COMP_WORDBREAKS]) || $word == [\"\']* ]] && cut=${cut%%"$word"}
    cut=${cut//\\/}
    word=${words[last]}
    COMPREPLY=()
    while IFS=, read -r kind value; do
        case $kind in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain)
                value=${value#"$cut"}
                case $word in
                    \"*) [[ $value == *[\$\`\\\"!]* ]] && continue ;;
                    \'*) [[ $value == *\'* ]] && continue ;;
                    *) printf -v value %%q "$value" ;;
                esac
                COMPREPLY+=("$value")
                ;;
        esac
    done < <(IFS=' '; COMP_WORDS="${words[*]}" COMP_CWORD=$last %(complete_var)s=bash_complete "$1")
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""
#: By this variable the shell asks; the name is click's for a program of that name.
COMPLETE_VARIABLE = "_CIRRUS_COMPLETE"
SHELLS = ("bash", "zsh", "fish")
_MANUAL = """\
Print what makes a shell complete the commands of cirrus: their names, options, and live names of
the node at --endpoint or CIRRUS_ENDPOINT, such as queues, tenants and ids.

\b
For this shell and those that come:
  bash:  cirrus completion bash > ~/.local/share/bash-completion/completions/cirrus
  zsh:   cirrus completion zsh > ~/.zfunc/_cirrus      (with ~/.zfunc in fpath, before compinit)
  fish:  cirrus completion fish > ~/.config/fish/completions/cirrus.fish
\b
For this shell only:
  eval "$(cirrus completion bash)"
"""


@click.command(
    "completion",
    help=_MANUAL,
    short_help="Print what makes a shell complete commands, options and live names.",
)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print what makes a shell complete commands."""
    click.echo(completion_script(shell))


def completion_script(shell: str) -> str:
    """Return the script of a shell."""
    kind = get_completion_class(shell)
    assert kind is not None, shell
    made = kind(click.Group(PROGRAM), {}, PROGRAM, COMPLETE_VARIABLE)
    if shell == "bash":
        return _BASH % made.source_vars()
    # Not source(): it runs a bash to learn its version, and prints what it thinks of it.
    return made.source_template % made.source_vars()
