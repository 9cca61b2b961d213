// What an edge is told from time to time: the keys that tokens are signed with, and whose access was taken away.
// While Newsstand is away, what was fetched goes on working; tokens live for minutes only.

const KEYS = "/.well-known/jwks.json";
const REVOCATIONS = "/v1/revocations";
const KEYS_FOR = 60; // seconds between looks at the keys: a new one is published long before it signs
const WAIT = 20; // seconds that Newsstand may keep a question for news open
const [PAUSE, LONGEST_PAUSE] = [1, 30]; // seconds, after a question that failed

/** Newsstand could not be asked, or answered something else than was asked for. */
export class Unavailable extends Error {}

export class Feeds {
  #url;
  #apiKey;
  #keys;
  #revoked;
  #failed;
  /** @type {string | undefined} */
  #since;
  #closed = new AbortController();
  #started = false;

  /**
   * @param {string} url
   * @param {{apiKey?: string, keys: (found: unknown) => Promise<void>, revoked: (row: any) => void,
   *   failed: (error: unknown) => void}} options
   */
  constructor(url, { apiKey, keys, revoked, failed }) {
    this.#url = url;
    this.#apiKey = apiKey;
    this.#keys = keys;
    this.#revoked = revoked;
    this.#failed = failed;
  }

  /** Fetch the keys, and keep asking from then on. Throws Unavailable when there are none, and goes on trying. */
  async start() {
    try {
      await this.fetchKeys();
    } finally {
      if (!this.#started) {
        this.#started = true;
        this.#repeat(() => this.fetchKeys(), KEYS_FOR);
        if (this.#apiKey) this.#repeat(() => this.#follow(), 0);
      }
    }
  }

  /** Take in the keys as they are published now. */
  async fetchKeys() {
    await this.#keys(await this.#get(KEYS, 10));
  }

  /**
   * Take in what was revoked since the last time; says whether there was anything.
   * @param {number} wait seconds that Newsstand may wait for news
   */
  async fetchRevocations(wait = 0) {
    const asked = new URLSearchParams({ wait: String(wait) });
    if (this.#since !== undefined) asked.set("since", this.#since);
    const found = /** @type {any} */ (await this.#get(`${REVOCATIONS}?${asked}`, wait + 10));
    if (!Array.isArray(found?.data)) throw new Unavailable("the answer is no list");
    for (const row of found.data) this.#revoked(row);
    if (found.next) this.#since = String(found.next);
    return found.data.length > 0;
  }

  /** Ask no more. */
  close() {
    this.#closed.abort();
  }

  async #follow() {
    const began = performance.now();
    const more = await this.fetchRevocations(WAIT);
    if (!more && performance.now() - began < 1000) await this.#rest(PAUSE); // it does not wait: no circles
  }

  /**
   * @param {string} path
   * @param {number} seconds
   * @returns {Promise<unknown>}
   */
  async #get(path, seconds) {
    const headers = new Headers({ accept: "application/json" });
    if (this.#apiKey && path.startsWith(REVOCATIONS)) headers.set("authorization", `Bearer ${this.#apiKey}`);
    try {
      const signal = AbortSignal.any([AbortSignal.timeout(seconds * 1000), this.#closed.signal]);
      const reply = await fetch(this.#url + path, { headers, signal });
      if (!reply.ok) throw new TypeError(`it answered ${reply.status}`);
      return await reply.json();
    } catch (failure) {
      throw new Unavailable(`${this.#url}${path}: ${failure instanceof Error ? failure.message : failure}`);
    }
  }

  /**
   * @param {() => Promise<unknown>} ask
   * @param {number} rest seconds
   */
  async #repeat(ask, rest) {
    let pause = PAUSE;
    if (rest) await this.#rest(rest); // it was asked just now
    while (!this.#closed.signal.aborted) {
      try {
        await ask();
        pause = PAUSE;
        await this.#rest(rest);
      } catch (failure) {
        if (this.#closed.signal.aborted) return;
        this.#failed(failure);
        await this.#rest(pause);
        pause = Math.min(pause * 2, LONGEST_PAUSE);
      }
    }
  }

  /** @param {number} seconds */
  #rest(seconds) {
    const { signal } = this.#closed;
    return new Promise((resolve) => {
      if (signal.aborted) return resolve(undefined);
      const timer = /** @type {any} */ (setTimeout(done, seconds * 1000));
      timer?.unref?.(); // a process that has nothing else to do may end
      signal.addEventListener("abort", done);
      function done() {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resolve(undefined);
      }
    });
  }
}
