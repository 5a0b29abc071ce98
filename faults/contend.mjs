// A JavaScript contender: writes the store a few times under its lock. Runs in a separate process.

import { updateStore } from "../__test__/fixtures/gateway-lock.mjs";

const [storePath, times] = process.argv.slice(2);

process.stdin.once("data", async () => {
  for (let key = 1; key <= Number(times); key++) {
    await updateStore(storePath, (store) => {
      store[`key-${key}`] = {};
    });
  }
});
console.log("ready");
