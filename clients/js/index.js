// Check a reader's access in your own process, from a token that Newsstand signed.
//
//   import { Edge } from "newsstand-edge";
//   const edge = new Edge("https://newsstand.example.com", { apiKey });
//   await edge.start(); // once, when your process starts
//   const answer = await edge.may(request, "archive");
//   if (answer.allowed) ...

import { ApiKeyRefused, Feeds, NoApiKey, Unavailable } from "./feeds.js";
import { TokenRejected, TokenVerifier } from "./tokens.js";

export { ApiKeyRefused, NoApiKey, Unavailable };

const [ISSUER, AUDIENCE] = ["newsstand", "newsstand-site"];
const COOKIE = "newsstand_entitlements";
const MAX_REPORTED = 100; // unknown features that are reported
const MAX_REVOCATIONS = 100_000; // a revocation is needed only until the reader's tokens expire, within minutes

/** @typedef {import("./index.d.ts").Answer} Answer */

/** A check named a feature that the catalogue doesn't have. It is passed to onError, and never thrown. */
export class UnknownFeature extends Error {}

/** A client of one Newsstand service. See index.d.ts for the options. */
export class Edge {
  #tokens;
  #feeds;
  #cookie;
  #clock;
  #onError;
  /** @type {Set<string>} of the catalogue; empty until it is known */
  #features = new Set();
  /** @type {Set<string>} unknown features */
  #reported = new Set();
  /** @type {Map<string, number>} by reason */
  #counts = new Map();
  /** @type {Map<string, number>} by subscriber: the oldest version that is still valid */
  #revoked = new Map();

  /**
   * @param {string} url
   * @param {import("./index.d.ts").EdgeOptions} options
   */
  constructor(url, options = {}) {
    const baseUrl = url.replace(/\/+$/, "");
    const { issuer = ISSUER, audience = AUDIENCE, leeway = 5, remember = 10_000 } = options;
    this.#cookie = options.cookie ?? COOKIE;
    this.#clock = options.clock ?? (() => Date.now() / 1000);
    this.#onError = options.onError ?? report;
    this.#tokens = new TokenVerifier({ issuer, audience, leeway, remember });
    this.#feeds = new Feeds(baseUrl, {
      apiKey: options.apiKey,
      keys: (found) => this.#tokens.setKeys(found),
      features: (names) => {
        this.#features = names;
      },
      revoked: (row) => this.#revoke(row),
      onError: this.#onError,
    });
  }

  /** Fetch the keys, and keep keys and revocations up to date. */
  async start() {
    await this.#feeds.start();
  }

  /** Stop polling. */
  close() {
    this.#feeds.close();
  }

  /** Fetch keys and revocations once, for processes that do not live between requests. */
  async refresh() {
    await this.#feeds.fetchKeys();
    while (await this.#feeds.fetchRevocations());
  }

  /** The number of answers for each reason so far, for your metrics. */
  get counts() {
    return Object.fromEntries(this.#counts);
  }

  /**
   * Return whether the reader who sent the request may use a feature. Never waits for Newsstand and never throws.
   * @param {import("./index.d.ts").RequestLike} request
   * @param {string} feature
   * @returns {Promise<Answer>}
   */
  async may(request, feature) {
    return this.mayToken(findToken(request, this.#cookie), feature);
  }

  /**
   * Return whether the owner of a token may use a feature.
   * @param {string} token
   * @param {string} feature
   * @returns {Promise<Answer>}
   */
  async mayToken(token, feature) {
    const answer = token ? await this.#answer(token, feature) : refused("no_token");
    if (!answer.allowed && this.#isUnknown(feature) && answer.reason === "not_entitled") answer.reason = "unknown_feature";
    this.#counts.set(answer.reason, (this.#counts.get(answer.reason) ?? 0) + 1);
    return answer;
  }

  /**
   * @param {string} token
   * @param {string} feature
   * @returns {Promise<Answer>}
   */
  async #answer(token, feature) {
    const now = this.#clock();
    let claims;
    try {
      claims = await this.#tokens.verify(token, now);
    } catch (error) {
      return refused(error instanceof TokenRejected ? error.reason : "token_invalid");
    }
    const { subscriber, version, features } = claims;
    if (version < (this.#revoked.get(subscriber) ?? 0)) return refused("token_revoked", subscriber);
    const until = features.get(feature);
    if (until === undefined || now >= until) return refused("not_entitled", subscriber, until);
    return { allowed: true, reason: "entitled", subscriber, until };
  }

  /**
   * Return whether the catalogue has no such feature. The first time it is reported as an error.
   * @param {string} feature
   */
  #isUnknown(feature) {
    if (this.#features.size === 0 || this.#features.has(feature)) return false;
    if (!this.#reported.has(feature) && this.#reported.size < MAX_REPORTED) {
      this.#reported.add(feature);
      this.#onError(new UnknownFeature(`The catalogue has no feature "${feature}". It has: ${[...this.#features].join(", ")}`));
    }
    return true;
  }

  /** @param {any} row */
  #revoke(row) {
    const { subscriber, version } = row ?? {};
    if (typeof subscriber !== "string" || typeof version !== "number") return;
    const before = this.#revoked.get(subscriber) ?? 0;
    this.#revoked.delete(subscriber); // move it to the end: the Map is ordered by age
    this.#revoked.set(subscriber, Math.max(version, before));
    if (this.#revoked.size > MAX_REVOCATIONS) {
      const oldest = this.#revoked.keys().next().value;
      if (oldest !== undefined) this.#revoked.delete(oldest);
    }
  }
}

/**
 * Write what somebody must fix to the console. An outage ends by itself.
 * @param {unknown} error
 */
function report(error) {
  const isForPeople = [ApiKeyRefused, NoApiKey, UnknownFeature].some((kind) => error instanceof kind);
  if (isForPeople) console.error(`newsstand-edge: ${/** @type {Error} */ (error).message}`);
}

/**
 * @param {string} reason
 * @param {string} [subscriber]
 * @param {number} [until]
 * @returns {Answer}
 */
function refused(reason, subscriber, until) {
  return { allowed: false, reason, subscriber, until };
}

/**
 * @param {import("./index.d.ts").RequestLike} request
 * @param {string} cookie
 */
function findToken(request, cookie) {
  const [scheme, token] = header(request, "authorization").split(" ", 2);
  if (scheme?.toLowerCase() === "bearer" && token) return token;
  for (const pair of header(request, "cookie").split(";")) {
    const at = pair.indexOf("=");
    if (at > 0 && pair.slice(0, at).trim() === cookie) return pair.slice(at + 1).trim().replaceAll('"', "");
  }
  return "";
}

/**
 * @param {import("./index.d.ts").RequestLike} request
 * @param {string} name
 */
function header(request, name) {
  const headers = /** @type {any} */ (request.headers);
  const found = typeof headers?.get === "function" ? headers.get(name) : headers?.[name];
  return typeof found === "string" ? found : "";
}
