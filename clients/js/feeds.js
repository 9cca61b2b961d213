// The feeds that keep an edge up to date: signing keys and feature names, and revocations. During an outage the last known state stays in
// use; tokens expire within minutes, so a reader keeps lost access for that time at most.

const KEYS_PATH = "/.well-known/jwks.json";
const FEATURES_PATH = "/v1/features";
const REVOCATIONS_PATH = "/v1/revocations";
const KEYS_INTERVAL = 60; // seconds between fetches; Newsstand publishes a new key long before it signs with it
const LONG_POLL = 20; // seconds that Newsstand may hold a request for revocations open
const [BACKOFF, MAX_BACKOFF] = [1, 30]; // seconds after a failed request

/** Newsstand can't be reached, or returned an invalid response. */
export class Unavailable extends Error {}

/** Newsstand refused the API key: it is wrong, expired or revoked, or lacks the scope `entitlements:read`. */
export class ApiKeyRefused extends Error {}

/** There is no API key, so revocations are not followed. It is passed to onError, and never thrown. */
export class NoApiKey extends Error {}

/**
 * Return an API key without the white space around it, such as the line end of a file. Throws a TypeError, which doesn't
 * contain the key, if it is empty or can't be the value of a header.
 * @param {string | null | undefined} apiKey
 */
function cleanKey(apiKey) {
  if (apiKey === null || apiKey === undefined) return undefined;
  const cleaned = apiKey.trim();
  if (!cleaned) throw new TypeError("The API key is empty. Set it, or leave it out to run without revocations.");
  if (!/^[\x21-\x7e]+$/.test(cleaned)) throw new TypeError("The API key contains characters that no API key has.");
  return cleaned;
}

/** Polls the signing keys and, with an API key, the revocations, until it is closed. */
export class Feeds {
  #url;
  #apiKey;
  #keys;
  #features;
  #revoked;
  #onError;
  /** @type {string | undefined} */
  #cursor;
  #closed = new AbortController();
  #started = false;

  /**
   * @param {string} url
   * @param {{apiKey?: string, keys: (found: unknown) => Promise<void>, features: (names: Set<string>) => void,
   *   revoked: (row: any) => void, onError: (error: unknown) => void}} options
   */
  constructor(url, { apiKey, keys, features, revoked, onError }) {
    this.#url = url;
    this.#apiKey = cleanKey(apiKey);
    this.#keys = keys;
    this.#features = features;
    this.#revoked = revoked;
    this.#onError = onError;
  }

  /**
   * Fetch the keys and the revocations, and start polling. Throws ApiKeyRefused, and starts nothing, if Newsstand refuses the
   * API key. Throws Unavailable if they can't be fetched; polling starts anyway.
   */
  async start() {
    if (!this.#apiKey) {
      this.#onError(new NoApiKey("There is no API key, so revocations are not followed: refunded readers keep access for minutes."));
    }
    try {
      if (this.#apiKey) await this.fetchRevocations();
      await this.fetchKeys();
    } catch (failure) {
      if (!(failure instanceof ApiKeyRefused)) this.#startPolling();
      throw failure;
    }
    this.#startPolling();
  }

  #startPolling() {
    if (this.#started) return;
    this.#started = true;
    this.#repeat(() => this.fetchKeys(), KEYS_INTERVAL);
    if (this.#apiKey) this.#repeat(() => this.#pollRevocations(), 0);
  }

  /** Fetch the current keys, and the names of the features, without which unknown ones are not reported. */
  async fetchKeys() {
    await this.#keys(await this.#get(KEYS_PATH, 10));
    try {
      const { data } = /** @type {any} */ (await this.#get(FEATURES_PATH, 10));
      this.#features(new Set(data.map((/** @type {any} */ one) => one.name)));
    } catch (failure) {
      this.#onError(failure);
    }
  }

  /**
   * Fetch the revocations since the last fetch. Returns whether there were any.
   * @param {number} wait seconds that Newsstand may hold the request open
   */
  async fetchRevocations(wait = 0) {
    const query = new URLSearchParams({ wait: String(wait) });
    if (this.#cursor !== undefined) query.set("since", this.#cursor);
    const found = /** @type {any} */ (await this.#get(`${REVOCATIONS_PATH}?${query}`, wait + 10));
    if (!Array.isArray(found?.data)) throw new Unavailable("expected a list of revocations");
    for (const row of found.data) this.#revoked(row);
    if (found.next) this.#cursor = String(found.next);
    return found.data.length > 0;
  }

  /** Stop polling. */
  close() {
    this.#closed.abort();
  }

  async #pollRevocations() {
    const startedAt = performance.now();
    const found = await this.fetchRevocations(LONG_POLL);
    // A server without long polling: avoid a busy loop.
    if (!found && performance.now() - startedAt < 1000) await this.#sleep(BACKOFF);
  }

  /**
   * @param {string} path
   * @param {number} seconds
   * @returns {Promise<unknown>}
   */
  async #get(path, seconds) {
    const headers = new Headers({ accept: "application/json" });
    if (this.#apiKey && path.startsWith(REVOCATIONS_PATH)) headers.set("authorization", `Bearer ${this.#apiKey}`);
    try {
      const signal = AbortSignal.any([AbortSignal.timeout(seconds * 1000), this.#closed.signal]);
      const response = await fetch(this.#url + path, { headers, signal });
      if (headers.has("authorization") && [401, 403].includes(response.status)) {
        throw new ApiKeyRefused(`${this.#url}${path}: status ${response.status}. The API key needs the scope entitlements:read.`);
      }
      if (!response.ok) throw new TypeError(`status ${response.status}`);
      return await response.json();
    } catch (failure) {
      if (failure instanceof ApiKeyRefused) throw failure;
      throw new Unavailable(`${this.#url}${path}: ${failure instanceof Error ? failure.message : failure}`);
    }
  }

  /**
   * @param {() => Promise<unknown>} poll
   * @param {number} interval seconds
   */
  async #repeat(poll, interval) {
    let backoff = BACKOFF;
    if (interval) await this.#sleep(interval); // the first fetch was just made
    while (!this.#closed.signal.aborted) {
      try {
        await poll();
        backoff = BACKOFF;
        await this.#sleep(interval);
      } catch (failure) {
        if (this.#closed.signal.aborted) return;
        this.#onError(failure);
        await this.#sleep(backoff);
        backoff = Math.min(backoff * 2, MAX_BACKOFF);
      }
    }
  }

  /** @param {number} seconds */
  #sleep(seconds) {
    const { signal } = this.#closed;
    return new Promise((resolve) => {
      if (signal.aborted) return resolve(undefined);
      const timer = /** @type {any} */ (setTimeout(done, seconds * 1000));
      timer?.unref?.(); // do not keep an idle process alive
      signal.addEventListener("abort", done);
      function done() {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resolve(undefined);
      }
    });
  }
}
