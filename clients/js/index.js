// May this reader open this? Answered beside your pages, from a token that Newsstand signed.
//
//   import { Edge } from "newsstand-edge";
//   const edge = new Edge("https://newsstand.example.com", { apiKey });
//   await edge.start();                                  // once for each process
//   const answer = await edge.may(request, "archive");
//   if (answer.allowed) ...

import { Feeds, Unavailable } from "./feeds.js";
import { Refused, Tokens } from "./tokens.js";

export { Unavailable };

const [ISSUER, AUDIENCE] = ["newsstand", "newsstand-site"];
const COOKIE = "newsstand_entitlements";
const REMEMBERED = 100_000; // revocations; each is needed for as long as a token lives, which is minutes

/** @typedef {import("./index.d.ts").Answer} Answer */

/** Answers for one Newsstand. The options are described in index.d.ts. */
export class Edge {
  #tokens;
  #feeds;
  #cookie;
  #clock;
  /** @type {Map<string, number>} by reason */
  #counted = new Map();
  /** @type {Map<string, number>} by subscriber: versions below this one */
  #revoked = new Map();

  /**
   * @param {string} url
   * @param {import("./index.d.ts").EdgeOptions} options
   */
  constructor(url, options = {}) {
    const address = url.replace(/\/+$/, "");
    const { issuer = ISSUER, audience = AUDIENCE, leeway = 5, remember = 10_000 } = options;
    this.#cookie = options.cookie ?? COOKIE;
    this.#clock = options.clock ?? (() => Date.now() / 1000);
    this.#tokens = new Tokens({ issuer, audience, leeway, remember });
    this.#feeds = new Feeds(address, {
      apiKey: options.apiKey,
      keys: (found) => this.#tokens.setKeys(found),
      revoked: (row) => this.#takeBack(row),
      failed: options.onAway ?? (() => {}),
    });
  }

  /** Fetch the keys, and follow keys and revocations from then on. */
  async start() {
    await this.#feeds.start();
  }

  /** Follow nothing any more. */
  close() {
    this.#feeds.close();
  }

  /** Ask at once for keys and revocations: for edges whose processes do not live between requests. */
  async refresh() {
    await this.#feeds.fetchKeys();
    while (await this.#feeds.fetchRevocations());
  }

  /** How many answers were given for each reason so far, for your metrics. */
  get counted() {
    return Object.fromEntries(this.#counted);
  }

  /**
   * Tell whether the reader who sent `request` may use `feature`. Never waits for Newsstand, never throws.
   * @param {import("./index.d.ts").RequestLike} request
   * @param {string} feature
   * @returns {Promise<Answer>}
   */
  async may(request, feature) {
    return this.mayToken(tokenOf(request, this.#cookie), feature);
  }

  /**
   * Tell whether the reader of a token may use `feature`.
   * @param {string} token
   * @param {string} feature
   * @returns {Promise<Answer>}
   */
  async mayToken(token, feature) {
    const answer = token ? await this.#answer(token, feature) : closed("no_token");
    this.#counted.set(answer.reason, (this.#counted.get(answer.reason) ?? 0) + 1);
    return answer;
  }

  /**
   * @param {string} token
   * @param {string} feature
   * @returns {Promise<Answer>}
   */
  async #answer(token, feature) {
    const now = this.#clock();
    let entitled;
    try {
      entitled = await this.#tokens.read(token, now);
    } catch (refused) {
      return closed(refused instanceof Refused ? refused.reason : "token_invalid");
    }
    const { subscriber, version, features } = entitled;
    if (version < (this.#revoked.get(subscriber) ?? 0)) return closed("token_revoked", subscriber);
    const until = features.get(feature);
    if (until === undefined || now >= until) return closed("not_entitled", subscriber, until);
    return { allowed: true, reason: "entitled", subscriber, until };
  }

  /** @param {any} row */
  #takeBack(row) {
    const { subscriber, version } = row ?? {};
    if (typeof subscriber !== "string" || typeof version !== "number") return;
    const before = this.#revoked.get(subscriber) ?? 0;
    this.#revoked.delete(subscriber); // the newest stands last
    this.#revoked.set(subscriber, Math.max(version, before));
    if (this.#revoked.size > REMEMBERED) {
      const oldest = this.#revoked.keys().next().value;
      if (oldest !== undefined) this.#revoked.delete(oldest);
    }
  }
}

/**
 * @param {string} reason
 * @param {string} [subscriber]
 * @param {number} [until]
 * @returns {Answer}
 */
function closed(reason, subscriber, until) {
  return { allowed: false, reason, subscriber, until };
}

/**
 * @param {import("./index.d.ts").RequestLike} request
 * @param {string} cookie
 */
function tokenOf(request, cookie) {
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
