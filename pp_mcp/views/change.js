// A change: its preview with the person's yes or no, then what was done, with its undo. Both views show it.
const STATES = {not_started: "not started", in_progress: "in progress"};
function plain(value) {
  if (Array.isArray(value)) return value.map(plain).join(", ") || "none";
  if (typeof value === "boolean") return value ? "yes" : "no";
  return STATES[value] || String(value ?? "") || "none";
}

// What a tool answered to a call that changes something. `done` is told how it ended, once nothing is left to
// decide: the answer's status, or "declined".
function showChange(box, tool, given, data, done = () => {}) {
  if (data.error) box.replaceChildren(problem(data.error));
  else if (data.status === "confirmation_required") preview(box, tool, given, data, done);
  else { told(box, data, done); done(data.status); }
  box.querySelector("h2")?.focus({preventScroll: true});
}

// A date stands on one line.
const dated = value => /^\d{4}-\d\d-\d\d$/.test(value) ? " date" : "";
const title = text => el("h2", {tabindex: "-1"}, text);
function table(names, rows) {
  const cell = (value, at) => el("td", {class: (at ? "name" : "first-cell") + dated(value)}, plain(value));
  return el("div", {class: "scroll short", role: "region", tabindex: "0", "aria-label": names.join(", ")},
    el("table", {}, el("thead", {}, el("tr", {}, names.map(name => el("th", {scope: "col"}, name)))),
      el("tbody", {}, rows.map(row => el("tr", {}, row.map(cell))))));
}

function preview(box, tool, given, data, done) {
  // The tool's name comes from the host, or from the sentence that ends each preview.
  tool ??= /.*only if they agree, call (\w+) again/s.exec(data.summary)?.[1];
  const affected = data.affected || [], count = data.affected_total || 0, left = count - affected.length;
  // The table names them all, or more of them.
  const effects = (data.effects || []).filter(line => !affected.length || !/^(Among them|People): /.test(line))
    .map(line => /^Of [\d,]+ /.test(line) ? line.replace(/not_started|in_progress/g, state => STATES[state]) : line);
  const people = data.target?.kind === "users" ? number(count)
    : effects.map(line => /^Of ([\d,]+) (?:person|people)/.exec(line)?.[1]).find(Boolean);
  const changed = data.target?.kind === "users" ? null : count;
  const status = el("p", {role: "status", class: "soft"});
  const flags = (data.needs || []).map(name => [name, el("input", {type: "checkbox"})]);
  const yes = el("button", {class: data.irreversible ? "main danger" : "main"}, "Confirm");
  const no = el("button", {}, "Cancel");
  const ready = () => { yes.disabled = !flags.every(([, tick]) => tick.checked); };
  flags.forEach(([, tick]) => tick.addEventListener("change", ready));
  ready();

  yes.addEventListener("click", async () => {
    yes.disabled = no.disabled = true;
    status.textContent = "Working…";
    const agreed = Object.fromEntries(flags.map(([name]) => [name, true]));
    try {
      const found = await call(tool, {...given, ...agreed, confirm_token: data.confirm_token});
      if (found.error) throw new Error(found.error);
      if (found.status !== "confirmation_required")
        tell(`The person answered the preview of ${tool} in the view. The result: ${JSON.stringify(brief(found))}`);
      showChange(box, tool, given, found, done);
    } catch (error) {
      status.textContent = error.message;
      no.disabled = false;
      ready();
    }
  });
  no.addEventListener("click", () => {
    answer.replaceChildren();
    status.textContent = "Declined. Nothing was changed.";
    tell(`The person declined the change that ${tool} previewed. Do not make it.`);
    done("declined");
  });

  const canAnswer = host.can.serverTools && tool && given;
  const words = name => name.replace("confirm_", "").replaceAll("_", " ");
  const answer = el("div", {},
    flags.map(([name, tick]) => el("label", {class: "flag"}, tick, `I agree to ${words(name)}`)),
    el("div", {class: "tools"}, yes, no));
  box.replaceChildren(...[
    el("p", {class: "kicker"}, "Preview: nothing is changed yet"),
    title(data.summary.replace(/ Show this to the user; only if they agree.*$/s, "").replace(/Not done yet\. /, "")),
    changed || people ? el("dl", {class: "figures"},
      changed ? figure(number(changed), "would change", "", true) : null,
      people ? figure(people, people === "1" ? "person" : "people", "", !changed) : null) : null,
    data.irreversible ? el("p", {class: "warning strong"}, "This cannot be undone.") : null,
    effects.length ? el("ul", {}, effects.map(line => el("li", {}, line))) : null,
    affected.length ? table(["What", "Now", "Then"], affected.map(row => [row.name, row.from, row.to])) : null,
    affected.length && left > 0 ? el("p", {class: "soft"}, `and ${number(left)} more`) : null,
    canAnswer ? answer : el("p", {class: "note"}, "Answer in the chat."),
    status,
    el("p", {class: "note"}, `Valid until ${data.expires_at.slice(11, 16)} UTC.`),
  ].filter(Boolean));
}

// The parts of an answer that a model needs; a long undo stays with the person.
const brief = ({summary, status, undo}) =>
  ({summary, status, ...(JSON.stringify(undo || "").length < 2000 ? {undo} : {})});

function told(box, data, done) {
  const status = el("p", {role: "status", class: "soft"});
  // Calls one after the other; each may have to be previewed first.
  const run = async ([next, ...rest], pressed) => {
    pressed.disabled = true;
    status.textContent = "Working…";
    try {
      const found = await call(next.tool, next.arguments);
      if (found.error) throw new Error(found.error);
      showChange(box, next.tool, next.arguments, found, ended =>
        rest.length && ended !== "declined" ? run(rest, pressed) : done(ended));
    } catch (error) {
      status.textContent = error.message;
      pressed.disabled = false;
    }
  };
  const button = (words, calls) => calls.length && host.can.serverTools
    ? el("button", {onclick: event => run(calls, event.target)}, words) : null;
  const failed = data.items || [];
  const good = data.status === "done", changes = Object.entries(data.changes || {});
  const said = {done: "Done", partial: "Done in part", unchanged: "Nothing changed"}[data.status] || "";
  box.replaceChildren(...[
    el("p", {class: good ? "kicker good" : "kicker"}, said),
    title(data.summary || "Done."),
    changes.length ? table(["Field", "Before", "After"],
      changes.map(([name, [before, after]]) => [name.replaceAll("_", " "), before, after])) : null,
    failed.length ? table(["Not done", "Outcome", "Why"],
      failed.map(one => [one.name || one.public_id, one.status, one.reason])) : null,
    data.undo_note ? el("p", {class: "note"}, data.undo_note) : null,
    el("div", {class: "tools"}, button("Undo", [].concat(data.undo || [])),
      button("Do the rest", [].concat(data.continue || []))),
    status,
  ].filter(Boolean));
}

// A figure with what it means below it.
const figure = (value, words, meaning, main, bad) => el("div", {class: main ? "first" : null},
  el("dt", {}, words, meaning ? el("span", {class: "meaning"}, meaning) : null),
  el("dd", {class: bad ? "bad" : null}, value));
