// What the command prints about two or more stores: a line for each, totals, and the question.

import { placeOf } from "./folder.mjs";
import { dueBy, isChange, sumOf } from "./free.mjs";
import {
  actionsOf,
  deletedOf,
  displayPath,
  folderLines,
  largeItemsLines,
  NARROW,
  refusalOf,
} from "./show.mjs";
import { counted, grouped, printable, shortenedInMiddle, size, table, wrapped } from "./text.mjs";

/** The width of the figures of a line, and without the number of runs, which narrow terminals lack. */
const FIGURES = 40;
const FIGURES_WITHOUT_RUNS = 30;

/** How many stores the question names. */
const MOST_NAMED = 3;

/**
 * Returns a store's or folder's short name: its agent, if it is in the only state folder and no other store
 * is in its folder, or its path.
 */
export function nameOf({ path, folder, shared }, states) {
  const { agent } = placeOf(folder);
  const isUnique = states.length === 1 && shared.names.length < 2;
  return agent !== undefined && isUnique ? printable(agent) : displayPath(path);
}

/** Returns whether a store or folder was not inspected to the end. */
const isFailed = ({ contents }) => contents === undefined;

/** Returns the state folders of the results, each once. */
export function statesOf(results) {
  const states = results.map(({ folder }) => placeOf(folder).state);
  return [...new Set(states.filter((state) => state !== undefined))];
}

/** Returns a line for each store or folder, what is in their folders by class, and totals. */
export function overviewLines(results, { nowMs, large, ...view }) {
  const { width, paints } = view;
  const { dim, yellow, red } = paints;
  const states = statesOf(results);
  const isNarrow = width < NARROW;
  const longest = width - (isNarrow ? FIGURES_WITHOUT_RUNS : FIGURES);
  const header = ["", "size", "runs", "expired", "frees"].map((text) => [text, dim]);
  const rows = results.map((result) => {
    const name = shortenedInMiddle(nameOf(result, states), longest);
    const { inspection } = result;
    const changes = dueBy(result);
    const frees = isChange(changes) && !isFailed(result) ? [size(changes.bytes), yellow] : "–";
    if (inspection === undefined || isFailed(result)) {
      const database = databaseOf(result);
      const bytes = database ? size(database.bytes) : "–";
      const problem = isFailed(result) ? ["failed", red] : database ? "SQLite" : "–";
      return [name, bytes, "–", problem, frees];
    }
    const { total, expired } = inspection.runs;
    const isDue = expired > 0 ? [grouped(expired), yellow] : grouped(expired);
    return [name, size(inspection.bytes), grouped(total), isDue, frees];
  });
  const shown = results.filter((result) => !isFailed(result));
  return [
    ...(states.length === 1 ? [paints.bold(shortenedInMiddle(displayPath(states[0]), width))] : []),
    ...(isNarrow
      ? table(
          [header, ...rows].map((row) => row.toSpliced(2, 1)),
          "lrrr",
        )
      : table([header, ...rows], "lrrrr")),
    ...folderLines("In their folders", shown, nowMs, view),
    "",
    ...large.flatMap(({ state, items }) => largeItemsLines(state, items, width)),
    ...wrapped(totals(results), width).map(paints.green),
  ];
}

/** Returns the figures of a folder's database, if it has one. */
function databaseOf({ items = [] }) {
  return items.find((item) => item.class === "database");
}

/** `40 stores, 12.0 MB, 40 runs, 40 expired; a sweep would free 3.0 MB`. */
export function totals(results) {
  const shown = results.filter((result) => !isFailed(result));
  const inspected = shown.filter(({ inspection }) => inspection !== undefined);
  const sum = (figure) => inspected.reduce((total, result) => total + figure(result), 0);
  const { bytes } = sumOf(shown.map(dueBy));
  const failed = results.length - shown.length;
  const others = shown.length - inspected.length;
  return [
    counted(inspected.length, "store"),
    ...(failed > 0 ? [`${grouped(failed)} failed`] : []),
    ...(others > 0 ? [counted(others, "other folder")] : []),
    size(sum(({ inspection }) => inspection.bytes)),
    counted(
      sum(({ inspection }) => inspection.runs.total),
      "run",
    ),
    `${grouped(sum(({ inspection }) => inspection.runs.expired))} expired; a sweep would free ${size(bytes)}${refusedNote(inspected)}.`,
  ].join(", ");
}

/** `; --apply is refused for 2 stores: a gateway is running`. */
function refusedNote(results) {
  const refusals = results.flatMap(({ refusal }) => refusal ?? []);
  return refusals.length === 0
    ? ""
    : `; --apply is refused for ${counted(refusals.length, "store")}: ${refusalOf(refusals)}`;
}

/** Returns what --apply would do, with the names of the stores and what cannot be undone; and the question. */
export function questionOf(due) {
  const states = statesOf(due);
  const names = due.slice(0, MOST_NAMED).map((result) => nameOf(result, states));
  const others = due.length - names.length;
  const all = others > 0 ? `${names.join(", ")} and ${grouped(others)} more` : names.join(", ");
  const changes = sumOf(due.map(dueBy));
  const { runs, transcripts, bytes } = changes;
  const deleted = deletedOf(changes);
  const swept = due.filter(({ preview }) => preview !== undefined).length;
  const unswept = due.length - swept;
  const noun = swept > 0 ? "other folder" : "folder";
  const actions = [
    swept > 0 ? `sweep ${counted(swept, "store")}` : "",
    unswept > 0 ? `clean up ${counted(unswept, noun)}` : "",
  ];
  const question = `${actions.filter(Boolean).join(", ")} and free ${size(bytes)}?`;
  const removed = actionsOf(["removes", "archives", ""], { runs, transcripts });
  const sentences = [
    removed === "" ? "" : `It ${removed}.`,
    deleted === "" ? "" : `It deletes ${deleted} permanently.`,
  ];
  return {
    explanation: [`This concerns ${all}.`, ...sentences].filter(Boolean).join(" "),
    question: question[0].toUpperCase() + question.slice(1),
  };
}
