"""Octets as text and back, and text in other character sets."""

def base32_encode(data: str | bytes) -> str:
    """Octets in base32.

    >>> mta.encode.base32_encode("fo?>")
    'MZXT6PQ='
    """

def base32_decode(text: str | bytes) -> bytes:
    """The octets of base32; white space is skipped.

    ValueError: it is none.

    >>> mta.encode.base32_decode("MZXT6PQ=")
    b'fo?>'
    """

def base32_nopad_encode(data: str | bytes) -> str:
    """Octets in base32, without padding.

    >>> mta.encode.base32_nopad_encode("fo?>")
    'MZXT6PQ'
    """

def base32_nopad_decode(text: str | bytes) -> bytes:
    """The octets of base32, without padding; white space is skipped.

    ValueError: it is none.

    >>> mta.encode.base32_nopad_decode("MZXT6PQ")
    b'fo?>'
    """

def base32hex_encode(data: str | bytes) -> str:
    """Octets in base32 with the alphabet that sorts.

    >>> mta.encode.base32hex_encode("fo?>")
    'CPNJUFG='
    """

def base32hex_decode(text: str | bytes) -> bytes:
    """The octets of base32 with the alphabet that sorts; white space is skipped.

    ValueError: it is none.

    >>> mta.encode.base32hex_decode("CPNJUFG=")
    b'fo?>'
    """

def base32hex_nopad_encode(data: str | bytes) -> str:
    """Octets in base32 with the alphabet that sorts, without padding.

    >>> mta.encode.base32hex_nopad_encode("fo?>")
    'CPNJUFG'
    """

def base32hex_nopad_decode(text: str | bytes) -> bytes:
    """The octets of base32 with the alphabet that sorts, without padding; white space is skipped.

    ValueError: it is none.

    >>> mta.encode.base32hex_nopad_decode("CPNJUFG")
    b'fo?>'
    """

def base64_encode(data: str | bytes) -> str:
    """Octets in base64.

    >>> mta.encode.base64_encode("fo?>")
    'Zm8/Pg=='
    """

def base64_decode(text: str | bytes) -> bytes:
    """The octets of base64; white space is skipped.

    ValueError: it is none.

    >>> mta.encode.base64_decode("Zm8/Pg==")
    b'fo?>'
    """

def base64_nopad_encode(data: str | bytes) -> str:
    """Octets in base64, without padding.

    >>> mta.encode.base64_nopad_encode("fo?>")
    'Zm8/Pg'
    """

def base64_nopad_decode(text: str | bytes) -> bytes:
    """The octets of base64, without padding; white space is skipped.

    ValueError: it is none.

    >>> mta.encode.base64_nopad_decode("Zm8/Pg")
    b'fo?>'
    """

def base64url_encode(data: str | bytes) -> str:
    """Octets in base64 for URLs.

    >>> mta.encode.base64url_encode("fo?>")
    'Zm8_Pg=='
    """

def base64url_decode(text: str | bytes) -> bytes:
    """The octets of base64 for URLs; white space is skipped.

    ValueError: it is none.

    >>> mta.encode.base64url_decode("Zm8_Pg==")
    b'fo?>'
    """

def base64url_nopad_encode(data: str | bytes) -> str:
    """Octets in base64 for URLs, without padding.

    >>> mta.encode.base64url_nopad_encode("fo?>")
    'Zm8_Pg'
    """

def base64url_nopad_decode(text: str | bytes) -> bytes:
    """The octets of base64 for URLs, without padding; white space is skipped.

    ValueError: it is none.

    >>> mta.encode.base64url_nopad_decode("Zm8_Pg")
    b'fo?>'
    """

def hex_encode(data: str | bytes) -> str:
    """Octets in hexadecimal, lower case.

    >>> mta.encode.hex_encode("fo?>")
    '666f3f3e'
    """

def hex_decode(text: str | bytes) -> bytes:
    """The octets of hexadecimal digits. ValueError: they are none.

    >>> mta.encode.hex_decode("666F3f3e")
    b'fo?>'
    """

def charset_encode(charset: str, text: str) -> bytes:
    r"""Text in a character set. ValueError: it is unknown, or lacks a character.

    >>> mta.encode.charset_encode("iso-8859-1", "caf\u00e9")
    b'caf\xe9'
    """

def charset_decode(charset: str, data: bytes) -> str:
    r"""The text of octets in a character set; what it does not know becomes U+FFFD.

    ValueError: the character set is unknown.

    >>> mta.encode.charset_decode("iso-8859-1", b"caf\xe9") == "caf\u00e9"
    True
    """
