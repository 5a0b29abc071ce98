// Loaded for what it does (see register.mjs); it exports nothing.
export {};
