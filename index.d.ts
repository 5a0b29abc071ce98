/**
 * The part of the gateway's `cron` configuration that the sweep reads. The gateway's own, larger
 * configuration fits as it is.
 */
export interface CronConfig {
  /**
   * How long a finished run is kept: a number with an optional unit (`ms`, `s`, `m`, `h`, `d`;
   * hours without one), or a chain such as `"1h30m"`. `false` keeps runs for ever. Absent or not a
   * duration: 24 hours.
   */
  sessionRetention?: string | false;
}

/** Where a sweep tells what it did: the gateway's logger. Only `info` and `warn` are called. */
export interface Logger {
  debug: (obj: unknown, msg?: string) => void;
  info: (obj: unknown, msg?: string) => void;
  warn: (obj: unknown, msg?: string) => void;
  error: (obj: unknown, msg?: string) => void;
}

/** What came of a sweep. */
export type ReaperResult = {
  /**
   * Whether the store was looked through. `false`: too soon after the last sweep of this store,
   * retention is off, or the sweep failed (then it was warned about).
   */
  swept: boolean;
  /** How many expired runs were removed from the store. */
  pruned: number;
};

/** What a sweep needs to know. `null` counts as absent for whatever is optional. */
export interface SweepParams {
  /** The gateway's cron configuration. Only `sessionRetention` is read. */
  cronConfig?: CronConfig;
  /**
   * The path of `sessions.json`. As it is written here it also is the name under which the time of
   * the last sweep is remembered.
   */
  sessionStorePath: string;
  /**
   * The time against which age is measured, in milliseconds since 1970.
   * @defaultValue `Date.now()`
   */
  nowMs?: number;
  /**
   * Gets one `info` line if runs were removed, and one `warn` line for what failed; as methods, on
   * the JavaScript thread, before the promise settles.
   */
  log: Logger;
  /** Sweep now, however recent the last sweep of this store is. */
  force?: boolean;
}

/**
 * How long a finished run is kept, in milliseconds; `null` if for ever.
 *
 * The grammar is the gateway's own, see {@link CronConfig.sessionRetention}. It never throws: what
 * is no duration counts as 24 hours.
 *
 * @example
 * ```js
 * resolveRetentionMs({ sessionRetention: "1h30m" }); // 5400000
 * resolveRetentionMs({ sessionRetention: false });   // null
 * resolveRetentionMs();                              // 86400000
 * ```
 */
export declare function resolveRetentionMs(cronConfig?: CronConfig): number | null;

/**
 * Removes every cron run from the store that was last updated before `nowMs - retention`, and
 * archives its transcripts as `*.deleted.<time>`. Archives older than the retention are deleted
 * from the folders in which something was archived.
 *
 * At most once in five minutes for each store, unless forced. The work happens on a thread of its
 * own, under the gateway's lock of the store; neither the event loop nor Node's thread pool waits
 * for it. What stays in the store is copied byte for byte.
 *
 * It never throws synchronously. A sweep that fails (a store that is no JSON, a lock that another
 * process holds for ten seconds, a full disk) leaves the store as it was, warns, and resolves to
 * `{ swept: false, pruned: 0 }`: the next one tries again.
 *
 * @returns A promise that rejects with a `TypeError` if a parameter has the wrong type, and with
 * whatever a method of `log` throws.
 *
 * @example
 * ```js
 * const { swept, pruned } = await sweepCronRunSessions({
 *   cronConfig: { sessionRetention: "24h" },
 *   sessionStorePath: "/home/me/.openclaw/agents/main/sessions/sessions.json",
 *   log: console,
 * });
 * ```
 */
export declare function sweepCronRunSessions(params: SweepParams): Promise<ReaperResult>;

/** Forgets when each store was last swept, so that the next sweep happens at once. For tests. */
export declare function resetReaperThrottle(): void;
