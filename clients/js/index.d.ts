/** Whether the reader may use the feature, and why. */
export interface Answer {
  allowed: boolean;
  /**
   * `entitled`, `not_entitled`, `no_token`, `token_expired`, `token_revoked`, `token_invalid`, `token_unknown_key` or
   * `token_not_yet_valid`. If it starts with `token_`, get the reader a new token before you refuse access.
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
  /** An API key with the scope `entitlements:read`. Without one, revocations are not followed. */
  apiKey?: string;
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
  /** Called each time that Newsstand can't be reached. */
  onError?: (error: unknown) => void;
}

/** Newsstand can't be reached, or returned an invalid response. */
export declare class Unavailable extends Error {}

/** A client of one Newsstand service. */
export declare class Edge {
  constructor(url: string, options?: EdgeOptions);
  /** Fetch the keys, and keep keys and revocations up to date. Throws `Unavailable` if the keys can't be fetched. */
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
