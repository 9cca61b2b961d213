// Entitlement tokens: verified once, remembered until they die. Nothing here fetches anything or reads the time.

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256" };
const SIGNATURE = { name: "ECDSA", hash: "SHA-256" };
const TYPE = "entitlements+jwt"; // an access token is none
const LONGEST = 8192; // characters
const utf8 = new TextEncoder();
const text = new TextDecoder("utf-8", { fatal: true });

/** The token opens nothing. `reason` says why, as a code. */
export class Refused extends Error {
  /** @param {string} reason */
  constructor(reason) {
    super(reason);
    this.reason = reason;
  }
}

/**
 * What a token says. Times are seconds since 1970; `features` are those that may be used, and until when.
 * @typedef {{subscriber: string, version: number, notBefore: number, expiresAt: number, features: Map<string, number>}} Entitled
 */

export class Tokens {
  /** @type {Map<string, CryptoKey>} */
  #keys = new Map();
  /** @type {Map<string, CryptoKey>} a key signs every token with the same header, to the letter */
  #headers = new Map();
  /** @type {Map<string, Entitled>} */
  #seen = new Map();
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
   * Trust the keys of a JWKS document and no others. What was verified with one that is gone is forgotten.
   * @param {unknown} published
   */
  async setKeys(published) {
    const keys = /** @type {{keys?: unknown}} */ (published)?.keys;
    if (!Array.isArray(keys)) throw new TypeError("the keys are not a JWKS document");
    const found = new Map();
    for (const key of keys) {
      if (key?.kty !== "EC" || key.crv !== "P-256" || typeof key.kid !== "string") continue;
      const jwk = { kty: key.kty, crv: key.crv, x: key.x, y: key.y };
      found.set(key.kid, await crypto.subtle.importKey("jwk", jwk, ALGORITHM, false, ["verify"]));
    }
    if ([...this.#keys.keys()].some((kid) => !found.has(kid))) this.#seen.clear();
    this.#keys = found;
    this.#headers.clear();
  }

  /** Whether there is any key to verify with. */
  get ready() {
    return this.#keys.size > 0;
  }

  /**
   * Return what a genuine token says; throws Refused with the reason otherwise.
   * @param {string} token
   * @param {number} now seconds
   * @returns {Promise<Entitled>}
   */
  async read(token, now) {
    let found = this.#seen.get(token);
    if (found === undefined) {
      found = await this.#verify(token);
      if (this.#seen.size >= this.#remember) {
        const oldest = this.#seen.keys().next().value;
        if (oldest !== undefined) this.#seen.delete(oldest);
      }
      this.#seen.set(token, found);
    }
    if (now >= found.expiresAt + this.#leeway) {
      this.#seen.delete(token);
      throw new Refused("token_expired");
    }
    if (now < found.notBefore - this.#leeway) throw new Refused("token_not_yet_valid");
    return found;
  }

  /**
   * @param {string} token
   * @returns {Promise<Entitled>}
   */
  async #verify(token) {
    const first = token.indexOf(".");
    const last = token.lastIndexOf(".");
    if (token.length > LONGEST || first < 1 || last === first) throw new Refused("token_invalid");
    const header = token.slice(0, first);
    const key = this.#headers.get(header) ?? this.#keyOf(header);
    let claims;
    try {
      const signature = bytes(token.slice(last + 1));
      const signed = utf8.encode(token.slice(0, last));
      if (!(await crypto.subtle.verify(SIGNATURE, key, signature, signed))) throw new TypeError("the signature");
      claims = JSON.parse(text.decode(bytes(token.slice(first + 1, last))));
      const audience = Array.isArray(claims.aud) ? claims.aud : [claims.aud];
      if (claims.iss !== this.#issuer || !audience.includes(this.#audience)) throw new TypeError("not for us");
      return entitled(claims);
    } catch {
      throw new Refused("token_invalid");
    }
  }

  /** @param {string} header */
  #keyOf(header) {
    let said;
    try {
      said = JSON.parse(text.decode(bytes(header)));
    } catch {
      throw new Refused("token_invalid");
    }
    if (said?.alg !== "ES256" || said.typ !== TYPE || typeof said.kid !== "string") throw new Refused("token_invalid");
    const key = this.#keys.get(said.kid);
    if (key === undefined) throw new Refused("token_unknown_key");
    if (this.#headers.size < this.#keys.size * 4) this.#headers.set(header, key); // never a table that strangers fill
    return key;
  }
}

/**
 * @param {any} claims
 * @returns {Entitled}
 */
function entitled(claims) {
  const features = new Map(Object.entries(claims.features));
  const notBefore = claims.nbf ?? claims.iat;
  const numbers = [claims.version, notBefore, claims.exp, ...features.values()];
  if (typeof claims.sub !== "string" || !numbers.every(Number.isFinite)) throw new TypeError("claims");
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
