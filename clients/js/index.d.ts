/** Whether the reader may use the feature, and why. */
export interface Answer {
  allowed: boolean;
  /**
   * `entitled`, `not_entitled`, `unknown_feature`, `no_token`, `token_expired`, `token_revoked`, `token_invalid`,
   * `token_unknown_key` or `token_not_yet_valid`. `unknown_feature` is an error in your code: the catalogue has no feature of
   * this name. If the reason starts with `token_`, get the reader a new token before you refuse access.
   */
  reason: string;
  /** The reader's `sub` at your identity provider, if the token is valid. */
  subscriber?: string | undefined;
  /** In seconds since 1970. */
  until?: number | undefined;
}

/** A `Request` of the Fetch API, or Node's `IncomingMessage`. */
export interface RequestLike {
  headers: { get(name: string): string | null } | Record<string, string | string[] | undefined>;
}

export interface EdgeOptions {
  /** An API key with the scope `entitlements:read`. Without one, revocations are not followed, which is reported. */
  apiKey?: string | null | undefined;
  /** The issuer of the tokens: Newsstand's setting NEWSSTAND_TOKEN_ISSUER. */
  issuer?: string;
  /** The audience of the tokens: NEWSSTAND_TOKEN_AUDIENCE. */
  audience?: string;
  /** The cookie that holds the reader's token. `Authorization: Bearer` works too. */
  cookie?: string;
  /** The allowed difference between your clock and Newsstand's, in seconds. */
  leeway?: number;
  /** The maximum number of verified tokens to cache. */
  remember?: number;
  /** Returns the current time in seconds since 1970. */
  clock?: () => number;
  /**
   * Called with each `Unavailable`, `ApiKeyRefused`, `NoApiKey` and `UnknownFeature`. By default, all but the first are written
   * with `console.error`.
   */
  onError?: (error: unknown) => void;
}

/** Newsstand can't be reached, or returned an invalid response. */
export declare class Unavailable extends Error {}

/** Newsstand refused the API key: it is wrong, expired or revoked, or lacks the scope `entitlements:read`. */
export declare class ApiKeyRefused extends Error {}

/** There is no API key, so revocations are not followed. It is passed to `onError`, and never thrown. */
export declare class NoApiKey extends Error {}

/** A check named a feature that the catalogue doesn't have. It is passed to `onError`, and never thrown. */
export declare class UnknownFeature extends Error {}

/** A client of one Newsstand service. */
export declare class Edge {
  /** Throws a `TypeError` if the API key is empty or has characters that no API key has. */
  constructor(url: string, options?: EdgeOptions);
  /**
   * Fetch the keys, and keep keys and revocations up to date. Throws `ApiKeyRefused`, and starts nothing, if Newsstand refuses
   * the API key. Throws `Unavailable` if they can't be fetched, and retries in the background.
   */
  start(): Promise<void>;
  /** Fetch keys and revocations once, for processes that do not live between requests. */
  refresh(): Promise<void>;
  /** Stop polling. */
  close(): void;
  /** The number of answers for each reason so far, for your metrics. */
  readonly counts: Readonly<Record<string, number>>;
  /** Return whether the reader who sent the request may use a feature. */
  may(request: RequestLike, feature: string): Promise<Answer>;
  /** Return whether the owner of a token may use a feature. */
  mayToken(token: string, feature: string): Promise<Answer>;
}
