/** Whether the reader may use the feature, and why. */
export interface Answer {
  allowed: boolean;
  /**
   * `entitled`, `not_entitled`, `no_token`, `token_expired`, `token_revoked`, `token_invalid`, `token_unknown_key` or
   * `token_not_yet_valid`. After the last five, fetch the reader a new token before you send them away.
   */
  reason: string;
  /** The identity provider's `sub`, where a genuine token names one. */
  subscriber?: string | undefined;
  /** Seconds since 1970. */
  until?: number | undefined;
}

/** A `Request` of the Fetch API, or an `IncomingMessage` of Node's. */
export interface RequestLike {
  headers: { get(name: string): string | null } | Record<string, string | string[] | undefined>;
}

export interface EdgeOptions {
  /** A key with the scope `entitlements:read`. Without one revocations are not followed. */
  apiKey?: string;
  /** Who signs the tokens: NEWSSTAND_TOKEN_ISSUER. */
  issuer?: string;
  /** For whom they are: NEWSSTAND_TOKEN_AUDIENCE. */
  audience?: string;
  /** Where your site keeps the reader's token; `Authorization: Bearer` is looked at as well. */
  cookie?: string;
  /** Seconds that your clock and Newsstand's may differ by. */
  leeway?: number;
  /** How many verified tokens are remembered. */
  remember?: number;
  /** The time in seconds since 1970. */
  clock?: () => number;
  /** Told of each time that Newsstand could not be asked. */
  onAway?: (error: unknown) => void;
}

export declare class Unavailable extends Error {}

/** Answers for one Newsstand. */
export declare class Edge {
  constructor(url: string, options?: EdgeOptions);
  /** Fetch the keys, and follow keys and revocations from then on. Throws `Unavailable` while there are none. */
  start(): Promise<void>;
  /** Ask at once for keys and revocations: for edges whose processes do not live between requests. */
  refresh(): Promise<void>;
  close(): void;
  /** How many answers were given for each reason so far, for your metrics. */
  readonly counted: Readonly<Record<string, number>>;
  may(request: RequestLike, feature: string): Promise<Answer>;
  mayToken(token: string, feature: string): Promise<Answer>;
}
