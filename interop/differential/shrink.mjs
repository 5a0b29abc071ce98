// Reduces a failing case: removes one part after the other as long as the case still fails.

const TRIES = 400;

function* smaller(made) {
  const withStep = (index, changed) => ({
    ...made,
    steps: made.steps.map((step, i) => (i === index ? { ...step, ...changed } : step)),
  });
  const without = (list, index) => list.filter((_, i) => i !== index);
  const withoutName = (object, name) =>
    Object.fromEntries(Object.entries(object).filter(([n]) => n !== name));

  if (made.steps.length > 1)
    for (const index of made.steps.keys()) yield { ...made, steps: without(made.steps, index) };
  for (const [index, step] of made.steps.entries()) {
    for (const [m, [key, value]] of step.members.entries()) {
      yield withStep(index, { members: without(step.members, m) });
      if (typeof value === "string") continue;
      for (const f of value.keys())
        yield withStep(index, {
          members: step.members.map((old, i) => (i === m ? [key, without(value, f)] : old)),
        });
    }
    for (const name of Object.keys(step.files))
      yield withStep(index, { files: withoutName(step.files, name) });
    for (const name of Object.keys(step.links))
      yield withStep(index, { links: withoutName(step.links, name) });
    for (const extra of ["broken", "storeIsLinkTo", "lockedTranscript"])
      if (step[extra] !== undefined) yield withStep(index, { [extra]: undefined });
    if (step.style !== "pretty") yield withStep(index, { style: "pretty" });
    if (step.params.cronConfig !== undefined)
      yield withStep(index, { params: { ...step.params, cronConfig: undefined } });
  }
}

export async function shrink(made, fails) {
  let best = made;
  let tries = 0;
  for (let again = true; again; ) {
    again = false;
    for (const candidate of smaller(best)) {
      tries += 1;
      if (tries > TRIES) return best;
      if (await fails(candidate)) {
        best = candidate;
        again = true;
        break;
      }
    }
  }
  return best;
}
