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
  /** Not called. */
  debug: (obj: unknown, msg?: string) => void;
  /** What was removed: `{ pruned, retentionMs }` and a message. */
  info: (obj: unknown, msg?: string) => void;
  /** What went wrong: `{ err }`, with `err` as text, and a message. */
  warn: (obj: unknown, msg?: string) => void;
  /** Not called. */
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
 * `{ swept: false, pruned: 0 }`: the next one tries again. Only where the warning says that a folder
 * could not be synced, the runs are gone, but a power cut now may bring them back.
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

/** What {@link sweepSessionStore} is to do. `null` counts as absent for whatever is optional. */
export interface SweepOptions {
  /** The gateway's cron configuration. Only `sessionRetention` is read. */
  cronConfig?: CronConfig;
  /** As {@link SweepParams.sessionStorePath}. */
  sessionStorePath: string;
  /**
   * The time against which age is measured, in milliseconds since 1970.
   * @defaultValue `Date.now()`
   */
  nowMs?: number;
  /** Sweep now, however recent the last sweep of this store is. */
  force?: boolean;
  /** Gets the lines that {@link sweepCronRunSessions} logs, if there is one. */
  log?: Logger;
  /**
   * Only say what a sweep would do now. It does not take the store's lock and writes nothing; it is
   * never throttled and does not count as a sweep for the throttle.
   */
  dryRun?: boolean;
  /**
   * How long archives (`*.deleted.<time>`) are kept. A duration, in the grammar of
   * {@link CronConfig.sessionRetention}: those that are older are deleted from the store's folder
   * and from every other one in which this sweep archived something, in each sweep that finds a
   * store. `false`: they are kept for ever. Absent: the gateway's rule, which deletes those older
   * than the runs' retention, in the folders in which this sweep archived something.
   *
   * Unlike a `sessionRetention`, a text that is no duration is a `TypeError`. Where `sessionRetention`
   * is `false` there is no sweep, and no archive is deleted either.
   */
  archiveRetention?: string | false;
  /**
   * Look for temp files that crashed writers left in every sweep, and take the lock to remove those
   * that are dead, even if no run is removed. Otherwise they are looked for when runs are removed.
   */
  removeTemps?: boolean;
  /**
   * Stops the sweep, until its commit begins: then the promise rejects with an `AbortError`, the
   * store is as it was, no temp file is left and no lock is held. After that it is too late, and
   * the sweep goes on to its end.
   */
  signal?: AbortSignal;
}

/** What a sweep did, or would do. Sizes are in bytes, durations in milliseconds. */
export interface SweepReport {
  /**
   * Whether the store was swept. `false`: too soon after the last sweep of this store, retention is
   * off, or it was a dry run.
   */
  swept: boolean;
  /**
   * Why no run was removed; `null` if some were.
   *
   * - `"throttled"`: the last sweep of this store was less than five minutes ago. The store was not
   *   looked at, and all figures are 0.
   * - `"disabled"`: `sessionRetention` is `false`. Likewise.
   * - `"no-store"`: there is no such file. Nothing else in its folder is touched either.
   * - `"unchanged"`: it is still the file in which an earlier sweep found nothing that is expired by
   *   now. It was not read again.
   * - `"nothing-expired"`: there is nothing to remove; see also `entries.locked`.
   * - `"dry-run"`: there is, but this was a dry run.
   */
  reason:
    | null
    | "throttled"
    | "disabled"
    | "no-store"
    | "unchanged"
    | "nothing-expired"
    | "dry-run";
  /** Whether this was a dry run. Then every figure is what a sweep would have come to. */
  dryRun: boolean;
  /** How many expired runs were removed from the store. */
  pruned: number;
  /** How long runs are kept, in milliseconds; `null` if for ever. */
  retentionMs: number | null;
  /** The entries of the store, runs and others. A key that stands twice in the file counts twice. */
  entries: {
    /** How many there were; for an unchanged store, when it was last read. */
    seen: number;
    /** How many stay. */
    kept: number;
    /** How many went: {@link SweepReport.pruned}. */
    pruned: number;
    /**
     * How many of those that stay are expired: a live process holds their transcript locked, and
     * the next sweep tries again.
     */
    locked: number;
  };
  /** The transcripts of removed runs. They still take their place on the disk, as archives. */
  transcripts: {
    /** How many were archived. */
    archived: number;
    /** Their size. */
    bytes: number;
  };
  /** The archives that had grown old. */
  archives: {
    /** How many were deleted. */
    removed: number;
    /** Their size. */
    bytes: number;
  };
  /**
   * The temp files that crashed writers had left. They are looked for when runs are removed, with
   * {@link SweepOptions.removeTemps}, and, for those of a sweep, the first time that nothing is.
   */
  temps: {
    /** How many were deleted. */
    removed: number;
    /** Their size. */
    bytes: number;
    /**
     * Where those are now that may be the only copy of something, and so were kept; in a dry run,
     * where they are still. Each has a warning too.
     */
    kept: string[];
  };
  /** Sizes. */
  bytes: {
    /** The store's, when it was read. */
    before: number;
    /** The store's, afterwards. */
    after: number;
    /** What was freed in all, by the sizes of the files: of the store, of archives and temp files. */
    reclaimed: number;
  };
  /** Where the time went. */
  ms: {
    /** Reading the store and writing what stays, without the lock. */
    surveying: number;
    /** Waiting for the store's lock. */
    waiting: number;
    /** Holding it. */
    holding: number;
    /** All of it, syncing and deleting after the lock included. */
    total: number;
  };
  /** What went wrong beside the sweep itself, in the order in which it was noticed. */
  warnings: SweepWarning[];
}

/** What a logger would get as `log.warn({ err: error }, message)`. */
export interface SweepWarning {
  /** What kind of trouble: `"cron-reaper: transcript cleanup failed"`. */
  message: string;
  /** What happened to what, as a sentence that begins with `"Error: "`. */
  error: string;
}

/**
 * What {@link sweepSessionStore} rejects with when a sweep fails. Its `name` is `"SweepError"`; its
 * `message` says what happened and to which path.
 */
export interface SweepError extends Error {
  /**
   * The operating system's (`"ENOENT"`, `"EACCES"`, `"ENOSPC"`, …), or one of:
   *
   * - `"ERR_SESSION_STORE_INVALID"`: the store is no JSON object; see `line` and `column`.
   * - `"ERR_SESSION_STORE_NOT_A_FILE"`: something other than a file stands where the store or its lock belongs.
   * - `"ERR_SESSION_STORE_LOCKED"`: another process held the store's lock for more than ten seconds.
   * - `"ERR_SESSION_STORE_LOCK_LOST"`: the lock was taken away during the sweep.
   * - `"ERR_SESSION_STORE_BUSY"`: a program that ignores the lock kept writing the store; in a dry run: a
   *   program, which may be the gateway, kept writing it in place.
   * - `"ERR_INVALID_ARG_VALUE"`: `sessionStorePath` is empty.
   */
  code: string;
  /** What it is about: the store, its lock file, a folder. */
  path?: string;
  /** Of a store that is no JSON: the line of the first byte that does not fit, counted from 1. */
  line?: number;
  /** The column of that byte, in bytes, counted from 1. */
  column?: number;
  /** As {@link SweepReport.warnings}; the last is this very failure. */
  warnings: SweepWarning[];
}

/**
 * Does what {@link sweepCronRunSessions} does, and tells all about it; a failure is a rejection.
 *
 * @returns A promise that rejects with a {@link SweepError} if the sweep fails, which leaves the
 * store as it was (but see {@link sweepCronRunSessions}), with an `AbortError` (`code: "ABORT_ERR"`, `cause` the signal's reason) if it was
 * aborted, with a `TypeError` if an option has the wrong type, and with whatever a method of `log`
 * throws.
 *
 * @example
 * ```js
 * const report = await sweepSessionStore({
 *   cronConfig: { sessionRetention: "24h" },
 *   sessionStorePath: "/home/me/.openclaw/agents/main/sessions/sessions.json",
 *   archiveRetention: "30d",
 *   dryRun: true,
 * });
 * console.log(`${report.pruned} runs, ${report.bytes.reclaimed} bytes`);
 * ```
 *
 * @example
 * ```js
 * try {
 *   await sweepSessionStore({ sessionStorePath, signal: AbortSignal.timeout(5000) });
 * } catch (error) {
 *   if (error.code === "ERR_SESSION_STORE_INVALID") console.error(`mend ${error.path}, line ${error.line}`);
 *   else if (error.code !== "ABORT_ERR") throw error;
 * }
 * ```
 */
export declare function sweepSessionStore(options: SweepOptions): Promise<SweepReport>;

/** Forgets when each store was last swept, so that the next sweep happens at once. For tests. */
export declare function resetReaperThrottle(): void;

/** What to look at. `null` counts as absent for whatever is optional. */
export interface InspectOptions {
  /** The path of `sessions.json`. */
  sessionStorePath: string;
  /** As in a sweep: tells which runs are expired. With `sessionRetention: false` none is. */
  cronConfig?: CronConfig;
  /**
   * The time against which age is measured, in milliseconds since 1970.
   * @defaultValue `Date.now()`
   */
  nowMs?: number;
  /**
   * How many of the biggest entries and jobs to name, at most 1000.
   * @defaultValue 5
   */
  top?: number;
  /** Ends the inspection: it rejects with an `AbortError` (`code: "ABORT_ERR"`). */
  signal?: AbortSignal;
  /**
   * Called about ten times a second while the store is read, never for one that is read at once.
   * What it throws ends the inspection, which rejects with it.
   */
  onProgress?: (progress: InspectProgress) => void;
}

/** How far an inspection is. */
export interface InspectProgress {
  /** Bytes of the store that were read. */
  bytesRead: number;
  /** Bytes that the store has; 0 before the first was read. */
  bytes: number;
}

/**
 * What is in a store and in its folder. All sizes are in bytes.
 *
 * The size of an entry is that of its text in the file: key, value and the white space before
 * them, without the comma. A key that stands twice counts twice, as it takes its place twice;
 * a sweep, to which only the last value of a key counts, may remove fewer runs than are expired
 * here. It also leaves runs whose transcript is being written.
 */
export interface StoreInspection {
  /** The store's size. */
  bytes: number;
  /** How many entries it has. */
  entries: number;
  /**
   * Its entries by kind, the biggest kind first and `"other"` last: `"cron run"`; `"cron job"`, the
   * job's own session; `"main"`; `"subagent"`; or what the key names after the agent: a channel
   * such as `"telegram"`, `"hook"`, …. There are at most 25: smaller ones count as `"other"`.
   */
  kinds: {
    /** What they are. */
    kind: string;
    /** How many of them there are. */
    entries: number;
    /** What they take of the store. */
    bytes: number;
  }[];
  /** The runs of cron jobs, by the rules of a sweep. */
  runs: {
    /** How many there are. */
    total: number;
    /** What they take of the store. */
    bytes: number;
    /** How many were last updated before `nowMs - retention`. */
    expired: number;
    /** What these take of the store. */
    expiredBytes: number;
    /** When the run longest ago was last updated, in ms since 1970; `null` if none tells. */
    oldestMs: number | null;
    /** The same of the latest run. */
    newestMs: number | null;
  };
  /** The biggest entries, the biggest first. A key of over 1000 characters is cut, and ends in `…`. */
  biggestEntries: {
    /** The entry's key. */
    key: string;
    /** What it takes of the store. */
    bytes: number;
  }[];
  /** The jobs whose runs take the most bytes, the biggest first. */
  biggestJobs: {
    /** The job's id. */
    job: string;
    /** How many of its runs there are. */
    runs: number;
    /** How many of these are expired. */
    expired: number;
    /** What all its runs take of the store. */
    bytes: number;
  }[];
  /** Regular files `*.jsonl` right in the store's folder. */
  transcripts: Files;
  /** Regular files `*.deleted.<time>` there. */
  archives: Files & {
    /** The earliest of these times, in milliseconds since 1970; `null` if there is none. */
    oldestMs: number | null;
  };
  /** Temp files of the store and of its lock. A live process may still be writing one. */
  temps: Files;
  /** All other regular files in the store's folder, without the store. */
  others: Files;
}

/** Some files. */
export interface Files {
  /** How many there are. */
  files: number;
  /** Their size in all. */
  bytes: number;
}

/** What a failed inspection rejects with. Its `name` is `"InspectError"`. */
export interface InspectError extends Error {
  /**
   * The operating system's name for it (`"ENOENT"`: there is no store), `"ERR_SESSION_STORE_INVALID"` (the store is no
   * JSON object), `"ERR_SESSION_STORE_NOT_A_FILE"` (it is no regular file), `"ERR_SESSION_STORE_BUSY"` (somebody kept writing it in
   * place) or `"ERR_INVALID_ARG_VALUE"` (`sessionStorePath` is empty).
   */
  code: string;
  /** What it is about: the store, its folder. */
  path?: string;
  /** Of a store that is no JSON: the line of the first byte that does not fit, counted from 1. */
  line?: number;
  /** The column of that byte, in bytes, counted from 1. */
  column?: number;
}

/**
 * Says what is in a store and in its folder. It only reads: it takes no lock and changes nothing,
 * and may be used beside a gateway of any version whose store is a `sessions.json`.
 *
 * The store is read once, on a thread of its own, in little memory whatever its size. If it is
 * replaced meanwhile, the answer is that for the store which was there at the beginning; if it is
 * being written in place, it is read again.
 *
 * @returns A promise that rejects with an {@link InspectError} for a store that is missing, damaged
 * or unreadable; with an `AbortError` when aborted; and with a `TypeError` for wrong arguments.
 *
 * @example
 * ```js
 * const { bytes, runs, biggestJobs } = await inspectSessionStore({
 *   sessionStorePath: "/home/me/.openclaw/agents/main/sessions/sessions.json",
 * });
 * console.log(`${runs.expired} of ${runs.total} runs are expired; ${biggestJobs[0]?.job} has most`);
 * ```
 */
export declare function inspectSessionStore(options: InspectOptions): Promise<StoreInspection>;
