// Vitest's settings for `npm run test:platforms`: those of the repository, without the excluded tests.

import { fileURLToPath } from "node:url";
import own from "../../vitest.config.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));

export default { ...own, root, test: { ...own.test, runner: "./scripts/platforms/runner.mjs" } };
