// Brings a view up to date every few seconds: slower while it fails or is much work for the node,
// not at all while nobody looks.

const BACKOFF_MAX_MS = 60000;
// A look is followed by so many times its duration without one.
const REST_FACTOR = 20;

export class Live {
  /**
   * @param {(state: object) => void} onState Told of how it goes: `at` of the last good answer,
   *   `error` of the last try, `retryMs`, `isPaused`.
   */
  constructor(onState) {
    this.onState = onState;
    this.state = { at: null, error: null, retryMs: 0, isPaused: false };
    this.work = null;
    this.timer = 0;
    this.turn = 0;
    this.failures = 0;
    document.addEventListener("visibilitychange", () => this.look());
  }

  /** Do this work now and every so many milliseconds; what was done before ends. */
  start(work, everyMs) {
    this.work = work;
    this.everyMs = everyMs;
    this.failures = 0;
    this.set({ at: null, error: null });
    this.now();
  }

  stop() {
    this.work = null;
    this.turn += 1;
    clearTimeout(this.timer);
  }

  pause(isPaused) {
    this.set({ isPaused });
    if (isPaused) clearTimeout(this.timer);
    else this.now();
  }

  look() {
    if (document.hidden) clearTimeout(this.timer);
    else if (this.work && !this.state.isPaused) this.now();
  }

  /** Do the work once, at once; a try under way is forgotten. */
  async now() {
    clearTimeout(this.timer);
    const { work } = this;
    if (!work) return;
    this.turn += 1;
    const turn = this.turn;
    const began = performance.now();
    try {
      await work();
      if (turn !== this.turn) return;
      this.failures = 0;
      this.set({ at: Date.now(), error: null, retryMs: 0 });
    } catch (error) {
      if (turn !== this.turn) return;
      if (error.status === undefined) console.error(error);
      this.failures += 1;
      const retryMs = Math.min(BACKOFF_MAX_MS, this.everyMs * 2 ** Math.min(this.failures - 1, 6));
      this.set({ error, retryMs });
    }
    this.plan(performance.now() - began);
  }

  plan(tookMs) {
    clearTimeout(this.timer);
    if (!this.work || !this.everyMs || document.hidden || this.state.isPaused) return;
    const restMs = Math.min(BACKOFF_MAX_MS, Math.max(this.everyMs, REST_FACTOR * tookMs));
    this.timer = setTimeout(() => this.now(), this.state.error ? this.state.retryMs : restMs);
  }

  set(change) {
    this.state = { ...this.state, ...change };
    this.onState(this.state);
  }
}
