// Verification of entitlement tokens, with a cache of verified ones. Keys and time are arguments: this module makes no
// requests and does not read the clock.

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256" };
const SIGNATURE = { name: "ECDSA", hash: "SHA-256" };
const TYPE = "entitlements+jwt"; // access tokens have another type
const MAX_TOKEN_LENGTH = 8192; // characters
const utf8 = new TextEncoder();
const text = new TextDecoder("utf-8", { fatal: true });

/** The token is not valid. `reason` is a code. */
export class TokenRejected extends Error {
  /** @param {string} reason */
  constructor(reason) {
    super(reason);
    this.reason = reason;
  }
}

/**
 * The claims of a token. Times are in seconds since 1970; `features` maps each feature to its end time.
 * @typedef {{subscriber: string, version: number, notBefore: number, expiresAt: number, features: Map<string, number>}} Claims
 */

/** Verifies tokens with the issuer's keys, and caches up to `remember` of them. */
export class TokenVerifier {
  /** @type {Map<string, CryptoKey>} */
  #keys = new Map();
  /** @type {Map<string, CryptoKey>} all tokens of a key have exactly the same header */
  #keysByHeader = new Map();
  /** @type {Map<string, Claims>} */
  #cache = new Map();
  #issuer;
  #audience;
  #leeway;
  #remember;

  /** @param {{issuer: string, audience: string, leeway: number, remember: number}} options */
  constructor({ issuer, audience, leeway, remember }) {
    this.#issuer = issuer;
    this.#audience = audience;
    this.#leeway = leeway;
    this.#remember = remember;
  }

  /**
   * Replace the trusted keys by those of a JWKS document. If a key is gone, clear the cache.
   * @param {unknown} published
   */
  async setKeys(published) {
    const keys = /** @type {{keys?: unknown}} */ (published)?.keys;
    if (!Array.isArray(keys)) throw new TypeError("not a JWKS document");
    const found = new Map();
    for (const key of keys) {
      if (key?.kty !== "EC" || key.crv !== "P-256" || typeof key.kid !== "string") continue;
      const jwk = { kty: key.kty, crv: key.crv, x: key.x, y: key.y };
      found.set(key.kid, await crypto.subtle.importKey("jwk", jwk, ALGORITHM, false, ["verify"]));
    }
    if ([...this.#keys.keys()].some((kid) => !found.has(kid))) this.#cache.clear();
    this.#keys = found;
    this.#keysByHeader.clear();
  }

  /**
   * Return the claims of a valid token; throws TokenRejected otherwise.
   * @param {string} token
   * @param {number} now seconds
   * @returns {Promise<Claims>}
   */
  async verify(token, now) {
    let found = this.#cache.get(token);
    if (found === undefined) {
      found = await this.#decode(token);
      if (this.#cache.size >= this.#remember) {
        const oldest = this.#cache.keys().next().value;
        if (oldest !== undefined) this.#cache.delete(oldest);
      }
      this.#cache.set(token, found);
    }
    if (now >= found.expiresAt + this.#leeway) {
      this.#cache.delete(token);
      throw new TokenRejected("token_expired");
    }
    if (now < found.notBefore - this.#leeway) throw new TokenRejected("token_not_yet_valid");
    return found;
  }

  /**
   * @param {string} token
   * @returns {Promise<Claims>}
   */
  async #decode(token) {
    const first = token.indexOf(".");
    const last = token.lastIndexOf(".");
    if (token.length > MAX_TOKEN_LENGTH || first < 1 || last === first) throw new TokenRejected("token_invalid");
    const header = token.slice(0, first);
    const key = this.#keysByHeader.get(header) ?? this.#findKey(header);
    let claims;
    try {
      const signature = bytes(token.slice(last + 1));
      const signed = utf8.encode(token.slice(0, last));
      if (!(await crypto.subtle.verify(SIGNATURE, key, signature, signed))) throw new TypeError("invalid signature");
      claims = JSON.parse(text.decode(bytes(token.slice(first + 1, last))));
      const audience = Array.isArray(claims.aud) ? claims.aud : [claims.aud];
      if (claims.iss !== this.#issuer || !audience.includes(this.#audience)) throw new TypeError("wrong issuer or audience");
      return parse(claims);
    } catch {
      throw new TokenRejected("token_invalid");
    }
  }

  /** @param {string} header */
  #findKey(header) {
    let fields;
    try {
      fields = JSON.parse(text.decode(bytes(header)));
    } catch {
      throw new TokenRejected("token_invalid");
    }
    if (fields?.alg !== "ES256" || fields.typ !== TYPE || typeof fields.kid !== "string") throw new TokenRejected("token_invalid");
    const key = this.#keys.get(fields.kid);
    if (key === undefined) throw new TokenRejected("token_unknown_key");
    if (this.#keysByHeader.size < this.#keys.size * 4) this.#keysByHeader.set(header, key); // bounded
    return key;
  }
}

/**
 * @param {any} claims
 * @returns {Claims}
 */
function parse(claims) {
  const features = new Map(Object.entries(claims.features));
  const notBefore = claims.nbf ?? claims.iat;
  const numbers = [claims.version, notBefore, claims.exp, ...features.values()];
  if (typeof claims.sub !== "string" || !numbers.every(Number.isFinite)) throw new TypeError("invalid claims");
  return { subscriber: claims.sub, version: claims.version, notBefore, expiresAt: claims.exp, features };
}

/**
 * @param {string} base64url
 * @returns {Uint8Array<ArrayBuffer>}
 */
function bytes(base64url) {
  if (!/^[\w-]*$/.test(base64url)) throw new TypeError("not base64url");
  const binary = atob(base64url.replaceAll("-", "+").replaceAll("_", "/"));
  const found = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i += 1) found[i] = binary.charCodeAt(i);
  return found;
}
