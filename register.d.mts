// Loaded for its side effect (see register.mjs). It has no exports.
export {};
