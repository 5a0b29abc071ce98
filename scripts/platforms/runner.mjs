// Skips the tests that are excluded on the platform in TEST_PLATFORM. A describe of which no test is
// left is skipped with its hooks.

import { basename } from "node:path";
import { TestRunner } from "vitest";
import { exclusionOf } from "./exclusions.mjs";

export default class PlatformRunner extends TestRunner {
  onBeforeRunFiles(files) {
    for (const file of files) {
      for (const task of file.tasks) skipExcluded(task, basename(file.filepath), []);
    }
    return super.onBeforeRunFiles?.(files);
  }
}

function skipExcluded(task, file, parents) {
  const names = [...parents, task.name];
  if (task.type === "test") {
    const reason = exclusionOf(process.env.TEST_PLATFORM, file, names.join(" > "));
    if (reason !== undefined) task.mode = "skip";
    return;
  }
  for (const child of task.tasks) skipExcluded(child, file, names);
  if (task.tasks.every(({ mode }) => mode === "skip")) task.mode = "skip";
}
