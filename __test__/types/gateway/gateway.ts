// The gateway's declaration of its reaper, written anew, with a cron configuration that has more
// fields than a sweep reads.

export interface GatewayCronConfig {
  enabled?: boolean;
  store?: string;
  maxConcurrentRuns?: number;
  retry?: { maxAttempts?: number; backoffMs?: number[] };
  webhook?: string;
  sessionRetention?: string | false;
  runLog?: { maxBytes?: number | string; keepLines?: number };
}

export type GatewayLogger = {
  debug: (obj: unknown, msg?: string) => void;
  info: (obj: unknown, msg?: string) => void;
  warn: (obj: unknown, msg?: string) => void;
  error: (obj: unknown, msg?: string) => void;
};

export type GatewayReaperResult = { swept: boolean; pruned: number };

export interface GatewayReaper {
  resolveRetentionMs: (cronConfig?: GatewayCronConfig) => number | null;
  sweepCronRunSessions: (params: {
    cronConfig?: GatewayCronConfig;
    sessionStorePath: string;
    nowMs?: number;
    log: GatewayLogger;
    force?: boolean;
  }) => Promise<GatewayReaperResult>;
  resetReaperThrottle: () => void;
}
