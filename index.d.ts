/**
 * The part of the gateway's `cron` configuration that a sweep reads. The complete `cron` object of the
 * gateway's configuration is accepted, but not the configuration around it.
 *
 * @example
 * ```ts
 * const cronConfig: CronConfig = { sessionRetention: "36h" };
 * ```
 */
export interface CronConfig {
  /**
   * How long a cron run is kept after its last update. `false` keeps runs for ever.
   *
   * The grammar is the gateway's: a number with an optional unit (`ms`, `s`, `m`, `h` or `d`; hours
   * without one), such as `"24h"` or `"1.5d"`, or a chain such as `"1h30m"`. Blank text
   * counts as absent. {@link sweepCronRunSessions} and {@link resolveRetentionMs} treat anything else
   * as 24 hours, as the gateway does; {@link sweepSessionStore} and {@link inspectSessionStore} reject
   * it with a `TypeError`.
   *
   * @defaultValue `"24h"`
   */
  sessionRetention?: string | false | undefined;
}

/**
 * Receives the log lines of a sweep: the gateway's logger, or `console`. Only `info` and `warn` are
 * called. They are called as methods, on the JavaScript thread, before the promise settles.
 *
 * @example
 * ```ts
 * const log: Logger = {
 *   debug() {},
 *   info: (obj, msg) => console.info(msg, obj),
 *   warn: (obj, msg) => console.warn(msg, obj),
 *   error() {},
 * };
 * ```
 */
export interface Logger {
  /** Is never called. */
  debug: (obj: unknown, msg?: string) => void;
  /** Receives `{ pruned, retentionMs }` and a message if a sweep removed runs. */
  info: (obj: unknown, msg?: string) => void;
  /** Receives `{ err }`, where `err` is a string, and a message for each {@link SweepWarning}. */
  warn: (obj: unknown, msg?: string) => void;
  /** Is never called. */
  error: (obj: unknown, msg?: string) => void;
}

/** The result of {@link sweepCronRunSessions}, as the gateway declares it. */
export type ReaperResult = {
  /**
   * Whether the store was swept; also `true` if it does not exist. `false` if the last sweep of this
   * store was less than five minutes ago, if retention is disabled, or if the sweep failed. A failure
   * is logged as a warning.
   */
  swept: boolean;
  /** The number of expired runs that were removed from the store. */
  pruned: number;
};

/** The parameters of {@link sweepCronRunSessions}. `null` counts as absent for optional fields. */
export interface SweepParams {
  /** The gateway's cron configuration. Only `sessionRetention` is read. */
  cronConfig?: CronConfig | undefined;
  /**
   * The path of `sessions.json`. The time of the last sweep is stored under this string, so two
   * spellings of one path are throttled separately.
   */
  sessionStorePath: string;
  /**
   * The time from which the age of a run is measured, in milliseconds since 1970.
   *
   * @defaultValue `Date.now()`
   */
  nowMs?: number | undefined;
  /** Receives one `info` line if runs were removed, and `warn` lines about failures and kept files. */
  log: Logger;
  /**
   * Sweep even if the last sweep of this store was less than five minutes ago.
   *
   * @defaultValue `false`
   */
  force?: boolean | undefined;
}

/**
 * Returns how long a cron run is kept, in milliseconds; `null` if runs are kept for ever. Throws only
 * what a getter of `cronConfig` throws.
 *
 * The rule is the gateway's, see {@link CronConfig.sessionRetention}.
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
 * archives its transcripts as `<transcript>.deleted.<time>`. Deletes archives that are older than
 * the retention from the folders in which it archived a transcript. Keeps a run whose transcript a live
 * process holds locked, and a transcript that a kept entry references. This function has the name, the
 * parameters and the result of the gateway's own reaper, and its rules, except where it is stricter.
 *
 * Sweeps a store successfully at most once in five minutes, unless forced. The work runs on a separate
 * thread and holds the gateway's lock of the store while it archives and replaces: neither the event
 * loop nor the thread pool of Node.js waits for it. Kept entries are copied byte for byte.
 *
 * If a sweep fails (the store is not valid JSON, another writer holds the lock for more than ten
 * seconds, the disk is full), the store is not modified. The function then logs a warning and
 * resolves to `{ swept: false, pruned: 0 }`, and the next sweep tries again. There are two exceptions.
 * If the warning says `cannot sync`, the runs are removed, but a power failure can bring them back. If
 * it says `cannot keep` or `cannot put back`, a process that ignores the lock wrote the store during
 * the commit, and what that process wrote may be beside the store.
 *
 * @returns A promise for the result. It rejects with a `TypeError` if `params`, `sessionStorePath`,
 * `nowMs` or `log` has the wrong type, and with the exception if a method of `log` or a getter of
 * `params` throws. The call itself never throws. As in the gateway, every truthy `force` counts as
 * `true`. An empty or absent path is a failed sweep.
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

/**
 * What {@link createCronSessionReaper} needs to know of the process that writes the stores: how other
 * writers are excluded, and what must be done after a sweep has changed a store. Both methods are
 * called as methods, on the JavaScript thread, and may return a promise.
 */
export interface StoreWriter {
  /**
   * Runs `work` while no other writer of this process writes the store, and resolves after `work` has
   * settled. If it rejects, a committed sweep is completed, another one is discarded, the log is
   * written, and the sweep rejects with the exception. The lock file remains in use, so writers of
   * other processes that use it are excluded in any case.
   */
  exclusively(storePath: string, work: () => Promise<void>): Promise<unknown>;
  /**
   * Is called inside the exclusive section if the store's file changed during the commit: because the
   * sweep replaced it or, with `after: null`, perhaps because another process did. Correct or drop
   * what the process has cached of the store. If it throws or rejects, the sweep is completed and
   * logged, and then rejects with the exception.
   */
  changed(storePath: string, change: StoreChange): unknown;
}

/** How a sweep changed the file of a store. */
export interface StoreChange {
  /** The keys of the removed entries, as `JSON.parse` returns them. A duplicate key occurs once. */
  removed: string[];
  /**
   * The `sessionId` of each removed entry, in the same order, with U+FFFD for each lone surrogate;
   * `null` if it is not a string or longer than 64 KiB.
   */
  sessionIds: (string | null)[];
  /** The file that the sweep read. An object that was read from it has all removed entries. */
  before: FileStamp;
  /**
   * The file that is the store now. `null` if it is not known, for example because another process
   * replaced the store during the commit: drop everything that is cached of the store.
   */
  after: FileStamp | null;
}

/** The attributes of a file, with the values that `fs.statSync` returns. */
export interface FileStamp {
  /** `mtimeMs` of `fs.Stats`. */
  mtimeMs: number;
  /** `size` of `fs.Stats`. */
  sizeBytes: number;
  /** `ino` of `fs.Stats`. */
  inode: number;
}

/** The options of {@link createCronSessionReaper}. `null` counts as absent. */
export interface CronSessionReaperOptions {
  /**
   * Which entries are cron runs.
   *
   * - `"runs"`: `agent:<agent>:cron:<job>:run:<id>`, as gateways until 2026.5.7.
   * - `"runs-and-descendants"`: also every key below a run, such as
   *   `agent:<agent>:cron:<job>:run:<id>:subagent:<id>`, as gateways from 2026.5.12.
   *
   * @defaultValue `"runs"`
   */
  runKeys?: "runs" | "runs-and-descendants" | undefined;
}

/** The functions of the gateway's `src/cron/session-reaper.ts`. */
export interface CronSessionReaper {
  /** See {@link resolveRetentionMs}. */
  resolveRetentionMs: typeof resolveRetentionMs;
  /**
   * Like {@link sweepCronRunSessions}, but the commit runs inside the exclusive section of the
   * {@link StoreWriter}. Each time, it waits for the lock file for at most one second. The promise also
   * rejects with the exceptions of the {@link StoreWriter}, and with an error whose `code` is
   * `"ERR_SESSION_STORE_WRITER"` if `exclusively` resolves without a call of `work`.
   */
  sweepCronRunSessions: typeof sweepCronRunSessions;
  /** See {@link resetReaperThrottle}. All reapers of an environment share the throttle. */
  resetReaperThrottle: typeof resetReaperThrottle;
}

/**
 * Returns the reaper for a process that does not lock its stores with the lock file but queues its own
 * writes, as gateways from 2026.5.2 to 2026.7.35 do. Beside such a process,
 * {@link sweepCronRunSessions} loses no data, but entries that it removes may reappear: a writer that
 * has read the store before the sweep writes them again, and so does a cache that is not corrected.
 *
 * A sweep reads the store and writes its replacement before it enters the exclusive section. A sweep
 * that finds nothing to remove does not enter it. Inside, it only checks that the store is still the
 * same, archives transcripts and replaces the file: a few milliseconds. If the store changed, it leaves the
 * section and prepares again; from the third attempt on it prepares inside the section. It also prepares
 * again if the disk was full and leftover temp files could be deleted.
 *
 * @throws A `TypeError` if an argument has the wrong type, or `runKeys` another value.
 *
 * @example
 * ```ts
 * // src/cron/session-reaper.ts of a gateway that is built from source (2026.5.12 to 2026.7.35)
 * import { createCronSessionReaper } from "cron-session-reaper";
 * import { invalidateSessionStoreCache } from "../config/sessions/store-cache.js";
 * import { runExclusiveSessionStoreWrite } from "../config/sessions/store-writer.js";
 * const writer = { exclusively: runExclusiveSessionStoreWrite, changed: invalidateSessionStoreCache };
 * export const { resolveRetentionMs, sweepCronRunSessions, resetReaperThrottle } =
 *   createCronSessionReaper(writer, { runKeys: "runs-and-descendants" });
 * ```
 */
export declare function createCronSessionReaper(
  storeWriter: StoreWriter,
  options?: CronSessionReaperOptions,
): CronSessionReaper;

/**
 * The options of {@link sweepSessionStore}. `null` counts as absent for optional fields. The type of
 * each option is checked; {@link sweepCronRunSessions} is as lenient as the gateway.
 */
export interface SweepOptions {
  /** The gateway's cron configuration. Only `sessionRetention` is read. */
  cronConfig?: CronConfig | undefined;
  /** The path of `sessions.json`, as in {@link SweepParams.sessionStorePath}. */
  sessionStorePath: string;
  /**
   * The time from which the age of a run is measured, in milliseconds since 1970.
   *
   * @defaultValue `Date.now()`
   */
  nowMs?: number | undefined;
  /**
   * Sweep even if the last sweep of this store was less than five minutes ago.
   *
   * @defaultValue `false`
   */
  force?: boolean | undefined;
  /** Receives the same lines as the logger of {@link sweepCronRunSessions}. */
  log?: Logger | undefined;
  /**
   * Only report what a sweep would do now. A dry run takes no lock and writes nothing. It is never
   * throttled, and does not count as a sweep of the store.
   *
   * @defaultValue `false`
   */
  dryRun?: boolean | undefined;
  /**
   * How long archives (`*.deleted.<time>`) are kept, as a duration in the grammar of
   * {@link CronConfig.sessionRetention}. Every sweep of an existing store then deletes older archives
   * from the store's folder and from all folders in which it archived a transcript. `false` keeps
   * archives for ever. Absent, the gateway's rule applies: archives older than the retention of runs
   * are deleted, only from folders in which this sweep archived a transcript.
   *
   * A text that is not a duration is a `TypeError`. If `sessionRetention` is `false`, nothing is swept
   * and no archive is deleted.
   */
  archiveRetention?: string | false | undefined;
  /**
   * In every sweep, look for temp files that crashed writers left behind, and take the lock to delete
   * them even if no run is removed. By default a sweep looks for them only if it removes runs. The
   * first sweep of a store in an environment also looks for files of a crashed sweep; only if it finds
   * one does it delete the gateway's temp files too. If no run is removed and the lock cannot be taken,
   * the sweep succeeds with a warning, and the next one tries again.
   *
   * @defaultValue `false`
   */
  removeTemps?: boolean | undefined;
  /**
   * Stops the sweep until its commit begins. The promise then rejects with an `AbortError`: the store
   * is not modified, no temp file remains and no lock is held. Once the commit has begun, the sweep
   * continues to its end.
   */
  signal?: AbortSignal | undefined;
}

/**
 * What a sweep did, or what it would do if it was a dry run. Sizes are in bytes, durations in
 * milliseconds.
 */
export interface SweepReport {
  /**
   * Whether the store was swept; also `true` if it does not exist. `false` if the last sweep of this
   * store was less than five minutes ago, if retention is disabled, and for a dry run.
   */
  swept: boolean;
  /**
   * Why no run was removed; `null` if runs were removed.
   *
   * - `"throttled"`: the last sweep of this store was less than five minutes ago. The store was not
   *   read, and all counts, sizes and durations are 0.
   * - `"disabled"`: `sessionRetention` is `false`, likewise. Except for a dry run, the next calls are
   *   throttled as after a sweep.
   * - `"no-store"`: the store does not exist. Nothing in its folder was modified.
   * - `"unchanged"`: the store has not changed since an earlier sweep, which left no run that is
   *   expired now. The store was not read again.
   * - `"nothing-expired"`: no run can be removed; see also `entries.locked`.
   * - `"dry-run"`: a sweep would remove runs, but this was a dry run.
   */
  reason:
    | null
    | "throttled"
    | "disabled"
    | "no-store"
    | "unchanged"
    | "nothing-expired"
    | "dry-run";
  /** Whether this was a dry run. */
  dryRun: boolean;
  /** The number of expired runs that were removed from the store. */
  pruned: number;
  /** How long runs are kept, in milliseconds; `null` if for ever. */
  retentionMs: number | null;
  /**
   * The entries of the store, cron runs and others. In `seen` and `kept` each occurrence of a duplicate
   * key counts, in `pruned` a removed key counts once. So `seen` is `kept + pruned`, or more if a
   * removed key was a duplicate.
   */
  entries: {
    /** The number of entries before the sweep; for an unchanged store, when it was last read. */
    seen: number;
    /** The number of entries after the sweep. */
    kept: number;
    /** The number of keys of removed runs, as in {@link SweepReport.pruned}. */
    pruned: number;
    /**
     * The number of kept entries that are expired. A live process holds a lock on their transcript,
     * so the next sweep tries again.
     */
    locked: number;
  };
  /** The transcripts of removed runs. As archives they still occupy disk space. */
  transcripts: {
    /** The number of archived transcripts. */
    archived: number;
    /** Their total size. */
    bytes: number;
  };
  /** The archives whose retention has passed. */
  archives: {
    /** The number of deleted archives. */
    removed: number;
    /** Their total size. */
    bytes: number;
  };
  /** The temp files that crashed writers left behind. See {@link SweepOptions.removeTemps}. */
  temps: {
    /** The number of deleted temp files. */
    removed: number;
    /** Their total size. */
    bytes: number;
    /**
     * The paths of files that may be the only copy of some data: temp files that are newer than the
     * store, and stores that a process wrote without the lock during the sweep. A sweep renames them:
     * these are the new names, and each has a warning. In a dry run they are the current names,
     * without a warning.
     */
    kept: string[];
  };
  /** Sizes. */
  bytes: {
    /** The size of the store before the sweep. */
    before: number;
    /** The size of the store after the sweep. */
    after: number;
    /**
     * The disk space that was freed, computed from file sizes: the difference of the store's sizes,
     * deleted archives and deleted temp files.
     */
    reclaimed: number;
  };
  /** How long the phases of the sweep took. */
  ms: {
    /** Reading the store and writing its replacement, as far as the lock is not held. */
    surveying: number;
    /** Waiting for the store's lock. */
    waiting: number;
    /** Holding the store's lock. */
    holding: number;
    /** The whole sweep, including syncing and deleting files after the lock was released. */
    total: number;
  };
  /**
   * The failures that did not make the sweep fail, and the files in `temps.kept`, in the order in which
   * they are logged. Files of one kind that cannot be archived or deleted have one warning together.
   * Temp files that cannot be renamed, but may be the only copy of some data, are a kind of their own. A
   * later sweep tries again, except to archive a transcript, whose entry is removed.
   */
  warnings: SweepWarning[];
}

/** A failure or a kept file, as a logger receives it with `log.warn({ err: error }, message)`. */
export interface SweepWarning {
  /** What failed in general, such as `"cron-reaper: transcript cleanup failed"`. */
  message: string;
  /** What happened in particular: on which path, and why. Begins with `"Error: "`. */
  error: string;
}

/**
 * The error with which {@link sweepSessionStore} rejects if the sweep fails. Its `name` is
 * `"SweepError"`; its `message` says which operation failed, on which path, and why.
 *
 * @example
 * ```js
 * try {
 *   await sweepSessionStore({ sessionStorePath });
 * } catch (error) {
 *   if (error.code !== "ERR_SESSION_STORE_INVALID") throw error;
 *   console.error(`repair ${error.path}, line ${error.line}`);
 * }
 * ```
 */
export declare class SweepError extends Error {
  private constructor();
  /**
   * The operating system's error code (`"EACCES"`, `"ENOSPC"`, …), or one of these:
   *
   * - `"ERR_SESSION_STORE_INVALID"`: the store is not a JSON object; see `line` and `column`. Without
   *   these, it has too many duplicate keys.
   * - `"ERR_SESSION_STORE_NOT_A_FILE"`: the store or its lock is not a regular file.
   * - `"ERR_SESSION_STORE_LOCKED"`: another writer held the store's lock for more than ten seconds.
   * - `"ERR_SESSION_STORE_LOCK_LOST"`: another process removed the lock during the sweep.
   * - `"ERR_SESSION_STORE_BUSY"`: a process that ignores the lock wrote the store during each
   *   attempt; in a dry run, any process that writes the store in place.
   * - `"ERR_INVALID_ARG_VALUE"`: `sessionStorePath` is empty or absent.
   */
  code: string;
  /** The path of the file or folder that the error is about, such as the store, its lock, its folder. */
  path?: string;
  /** In a store that is not a JSON object, the line of the first invalid byte, counted from 1. */
  line?: number;
  /** The column of that byte, in bytes, counted from 1. */
  column?: number;
  /**
   * The failures during the sweep, as in {@link SweepReport.warnings}, then one for the archives and temp
   * files that it deleted, if there are any. The last is this error.
   */
  warnings: SweepWarning[];
}

/**
 * Like {@link sweepCronRunSessions}, but resolves to a full report and rejects on failure. It can
 * also preview a sweep, keep archives for a different time, and be aborted.
 *
 * @returns A promise for the report. The call itself never throws. The promise rejects with
 *
 * - a {@link SweepError} if the sweep fails. The store is then not modified, with the exceptions that
 *   {@link sweepCronRunSessions} describes.
 * - an `AbortError` if `signal` stopped the sweep. Its `code` is `"ABORT_ERR"`, its `cause` the
 *   signal's reason, and its `warnings` are those of the sweep until then, also one for the files that
 *   it deleted.
 * - a `TypeError` if an option has the wrong type, if a retention is not a duration, or if `nowMs` is
 *   `NaN` or after the year 9999.
 * - the exception if a method of `log` or a getter of `options` throws.
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
 * const signal = AbortSignal.timeout(5000);
 * await sweepSessionStore({ sessionStorePath, signal }).catch((error) => {
 *   if (error.code !== "ABORT_ERR") throw error;
 * });
 * ```
 */
export declare function sweepSessionStore(options: SweepOptions): Promise<SweepReport>;

/**
 * Forgets when each store was last swept, so that the next sweep is not throttled. Affects only the
 * current JavaScript environment: each worker thread has its own. Intended for tests, as in the
 * gateway.
 *
 * @example
 * ```js
 * beforeEach(() => resetReaperThrottle());
 * ```
 */
export declare function resetReaperThrottle(): void;

/**
 * The options of {@link inspectSessionStore}. `null` counts as absent for optional fields. Options that
 * {@link sweepSessionStore} has too are checked in the same way.
 */
export interface InspectOptions {
  /** The path of `sessions.json`. */
  sessionStorePath: string;
  /** As in a sweep: determines which runs are expired. With `sessionRetention: false` none is. */
  cronConfig?: CronConfig | undefined;
  /**
   * The time from which the age of a run is measured, in milliseconds since 1970.
   *
   * @defaultValue `Date.now()`
   */
  nowMs?: number | undefined;
  /**
   * How many of the biggest entries and jobs to list: a whole number from 0. No list is longer than
   * 1000.
   *
   * @defaultValue `5`
   */
  top?: number | undefined;
  /** Stops the inspection: the promise rejects with an `AbortError` (`code: "ABORT_ERR"`). */
  signal?: AbortSignal | undefined;
  /**
   * Is called about ten times a second until the inspection ends; not at all if it takes less than a
   * tenth of a second. If it throws, the inspection stops and rejects with the exception.
   */
  onProgress?: ((progress: InspectProgress) => void) | undefined;
}

/** How much of the store an inspection has read. Sizes are in bytes. */
export interface InspectProgress {
  /** The number of bytes that were read. Begins again if the store is read again. */
  bytesRead: number;
  /** The size of the store; 0 until the first part of it was read. */
  bytes: number;
}

/**
 * The contents of a store and of its folder. Sizes are in bytes.
 *
 * The size of an entry is that of its text in the file: key, value and the white space before them,
 * without the comma. Each occurrence of a duplicate key counts.
 *
 * A sweep can remove fewer runs than are expired here: of a duplicate key it considers only the last
 * value, and it keeps runs whose transcript is locked by a live process.
 */
export interface StoreInspection {
  /** The size of the store. */
  bytes: number;
  /** The number of entries. */
  entries: number;
  /** The entries by kind, the biggest kind first and `"other"` last. The list has at most 25 items. */
  kinds: {
    /**
     * What the entries are: `"cron run"`, `"cron job"` (a job's own session), `"main"`,
     * `"subagent"`, or the part of the key after the agent, such as the channel `"telegram"` or
     * `"hook"`. Entries of unknown kinds, and of kinds that are not listed, are `"other"`.
     */
    kind: string;
    /** The number of these entries. */
    entries: number;
    /** Their total size. */
    bytes: number;
  }[];
  /** The runs of all cron jobs. A sweep uses the same rules. */
  runs: {
    /** The number of runs. */
    total: number;
    /** Their total size. */
    bytes: number;
    /** The number of runs that were last updated before `nowMs - retention`. */
    expired: number;
    /** The total size of these expired runs. */
    expiredBytes: number;
    /**
     * The number of runs that never expire, because JavaScript's `<` compares their `updatedAt` as
     * `NaN` (for example, a date as text) or their entry is `null`, `0`, `""` or `false`.
     */
    undated: number;
    /** The number of runs whose `updatedAt` is more than an hour after `nowMs`. */
    future: number;
    /**
     * The time of the earliest update of a run, in milliseconds since 1970; `null` if no run has a
     * finite time after 1970.
     */
    oldestMs: number | null;
    /** The time of the latest update of a run, likewise. */
    newestMs: number | null;
  };
  /** The biggest entries, the biggest first. */
  biggestEntries: {
    /** The key of the entry. A key of more than 1000 characters is cut and ends in `…`. */
    key: string;
    /** The size of the entry. */
    bytes: number;
  }[];
  /** The jobs whose runs have the biggest total size, the biggest first. */
  biggestJobs: {
    /** The id of the job. An id of more than 1000 characters is cut and ends in `…`. */
    job: string;
    /** The number of its runs. */
    runs: number;
    /** The number of its expired runs. */
    expired: number;
    /** The total size of its runs. */
    bytes: number;
  }[];
  /** The regular files `*.jsonl` in the store's folder. Subfolders are not searched. */
  transcripts: Files;
  /** The regular files `*.deleted.<time>` in the store's folder. */
  archives: Files & {
    /** The earliest of these times, in milliseconds since 1970; `null` without archives. */
    oldestMs: number | null;
  };
  /** The temp files of the store and of its lock. A live process may still be writing one of them. */
  temps: Files;
  /** All other regular files in the store's folder, except the store itself. Includes lock files. */
  others: Files;
}

/** A number of files and their size. */
export interface Files {
  /** The number of files. */
  files: number;
  /** Their total size in bytes. */
  bytes: number;
}

/**
 * The error with which {@link inspectSessionStore} rejects if the inspection fails. Its `name` is
 * `"InspectError"`; its `message` says which operation failed, on which path, and why.
 */
export declare class InspectError extends Error {
  private constructor();
  /**
   * The operating system's error code (`"ENOENT"` if the store does not exist, `"EACCES"`, …), or
   * one of these:
   *
   * - `"ERR_SESSION_STORE_INVALID"`: the store is not a JSON object; see `line` and `column`.
   * - `"ERR_SESSION_STORE_NOT_A_FILE"`: the store is not a regular file.
   * - `"ERR_SESSION_STORE_BUSY"`: a process wrote the store in place during each attempt to read it.
   * - `"ERR_INVALID_ARG_VALUE"`: `sessionStorePath` is empty or absent.
   */
  code: string;
  /** The path of the store or folder that the error is about. */
  path?: string;
  /** In a store that is not a JSON object, the line of the first invalid byte, counted from 1. */
  line?: number;
  /** The column of that byte, in bytes, counted from 1. */
  column?: number;
}

/**
 * Reports what a store and its folder contain. Only reads: takes no lock and modifies nothing. It
 * can be used while a gateway of any version that stores its sessions in `sessions.json` is running.
 *
 * The store is read once, on a separate thread, in bounded memory. In a store with more than about
 * 100,000 cron jobs the figures of the small jobs are too low. If the store is replaced during the
 * inspection, the result is that for the store at its beginning. If the store is written in place, it
 * is read again.
 *
 * @returns A promise for the contents. The call itself never throws. The promise rejects with
 *
 * - an {@link InspectError} if the store does not exist, is damaged or cannot be read.
 * - an `AbortError` if `signal` stopped the inspection. Its `code` is `"ABORT_ERR"`, its `cause` the
 *   signal's reason.
 * - a `TypeError` if an option has the wrong type, if the retention is not a duration, if `top` is not
 *   a whole number from 0, or if `nowMs` is `NaN` or after the year 9999.
 * - the exception if `onProgress` or a getter of `options` throws.
 *
 * @example
 * ```js
 * const { runs, biggestJobs } = await inspectSessionStore({
 *   sessionStorePath: "/home/me/.openclaw/agents/main/sessions/sessions.json",
 * });
 * console.log(`${runs.expired} of ${runs.total} runs are expired`);
 * console.log(`the biggest job is ${biggestJobs[0]?.job}`);
 * ```
 */
export declare function inspectSessionStore(options: InspectOptions): Promise<StoreInspection>;
