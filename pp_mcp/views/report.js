const view = document.getElementById("view");

// Words for the fields of answers; of others their own.
const NAMES = {
  total: "All", inactive: "Leavers", no_show: "No-shows", no_show_rate: "No-show rate", waitlisted: "Waiting list",
  total_assignments: "Assigned", completed_assignments_count: "Completed", avg_feedback_rating: "Rating",
  user: "Person", name: "Content", content_item: "Content", content_type: "Type", due_month: "Due in", due_date: "Due",
  attendance_method: "Attendance", is_active: "Account", with_findings: "Items with a finding", in_use: "Items in use",
  missing: "Never assigned",
};
const MEANINGS = {
  overdue: "not completed, and past the due date",
  completion_rate: "completed ÷ (all − dropped − exempted)",
  outstanding: "not started or in progress",
  no_show_rate: "no-shows ÷ (checked in + no-shows)",
  no_show: "enrolled, but not checked in when it closed",
  with_findings: "never assigned, finished by nobody, rated below 3, or stale",
  nobody_finished: "assigned, but completed by nobody lately",
  missing: "people who never had it, in any state",
};
// The figures at the top, the first one large: those of the list whose first is in the answer.
const FIGURES = [
  ["no_show_rate", "no_show", "checked_in", "total"],
  ["with_findings", "in_use", "never_assigned", "nobody_finished"],
  ["missing", "people"],
  ["overdue", "completion_rate", "outstanding", "total", "people"],
];
const COLOURS = {
  completed: "var(--done)", in_progress: "var(--going)", not_started: "var(--open)", not_completed: "var(--open)",
  checked_in: "var(--done)", enrolled: "var(--going)", waitlisted: "var(--open)", no_show: "var(--late)",
  overdue: "var(--late)",
};

const label = name => NAMES[name] || (name.charAt(0).toUpperCase() + name.slice(1)).replaceAll("_", " ");
const isTrue = value => String(value) === "true";
const isNumber = value => typeof value === "number";
// The last row stands for those that did not fit; what a row is of has an id or an e-mail too.
const isRest = row => Object.values(row).some(value => /^\([\d,]+ more\)$/.test(value))
  && !Object.keys(row).some(name => /id$|email$/.test(name));

function shown(name, value) {
  if (value === undefined || value === null) return "";
  if (isNumber(value) && /rate$|^(average_)?progress$/.test(name)) return `${(100 * value).toFixed(1)} %`;
  if (isNumber(value)) return number(value);
  if (Array.isArray(value)) return value.map(one => name === "findings" ? label(one) : one).join(", ");
  if (name === "is_active") return value ? "active" : "deactivated";
  if (name === "due_month" && value === "none") return "no due date";
  return name === "state" || name === "status" || name === "content_type" ? label(String(value)) : String(value);
}

// What of the report is being looked at: the tool, its arguments, and below a row those that lead there.
let report = null;

const toolOf = data => data.user ? "get_learner_summary"
  : `report_${/reports\/(\w+)\.csv/.exec(data.csv || "")?.[1] || "assignments"}`;

function show(data) {
  if (data.error) return view.replaceChildren(problem(data.error));
  const tool = host.tool || toolOf(data), given = host.given || {};
  report = {tool, given, data};
  const totals = data.totals || {}, rows = data.rows || [];
  const note = el("div", {role: "status"});
  const counts = {...totals, ...totals.by_state};
  const who = data.user && [data.user.email, data.user.manager?.name && `reports to ${data.user.manager.name}`,
    data.user.is_active === false && "deactivated"];
  const lists = [["Overdue", data.overdue], ["Due next", data.next_due],
    ["Completed in the last 30 days", data.completed_lately]].filter(([, items]) => items?.length);
  view.replaceChildren(...[
    coverage(data.coverage, false),
    el("h1", {}, data.user ? data.user.name || data.user.email : heading(tool, given)),
    who ? el("p", {class: "soft"}, who.filter(Boolean).join(" · ")) : null,
    figures(totals),
    bar(counts, 0, 14), legend(counts),
    el("p", {class: "soft"}, data.summary.replace(/ [\d,]+ more [a-z ]+ in the last row: .*$/s, "")),
    note, trend(rows),
    rows.length ? grid(rows, {tool, given, note, top: true}, data) : null,
    lists.map(([words, items]) => [el("h3", {}, words), grid(items, {tool, given, note}, {})]),
    coverage(data.coverage, true),
  ].flat(2).filter(Boolean));
}

const heading = (tool, given) => {
  const by = [].concat(given.group_by || []).map(name => label(name).toLowerCase()).join(" and ");
  const words = {report_content: "The catalogue's health", report_enrollments: "Attendance"}[tool]
    || (isTrue(given.missing) ? "Never assigned" : isTrue(given.is_overdue) ? "Overdue training" : "Training progress");
  return by ? `${words} by ${by.replace("due in", "month")}` : words;
};

function figures(totals) {
  const names = FIGURES.find(([first]) => totals[first] !== undefined) || ["total"];
  // One that says the same as another before it is left out.
  const told = names.filter((name, at) =>
    isNumber(totals[name]) && !names.slice(0, at).some(other => totals[other] === totals[name]));
  return el("dl", {class: "figures"}, told.map((name, at) => {
    const bad = !at && /overdue|no_show|findings/.test(name) && totals[name] > 0;
    return figure(shown(name, totals[name]), label(name), MEANINGS[name], !at, bad);
  }));
}

// A reading that broke off is a warning at the top, else there is a quiet line at the end.
function coverage(found, quiet) {
  if (!found || found.complete !== quiet) return null;
  const [read, all] = [number(found.rows_read), number(found.rows_total)];
  if (!quiet) return problem(`Incomplete: ${read} of ${all} rows were read. ${found.reason || ""}`);
  const when = `as of ${found.as_of.replace("T", " ").replace("Z", " UTC")}`;
  return el("p", {class: "note"}, [found.how, when].filter(Boolean).join("; "));
}

// ---- bars

// A row's stack, and how much of it is overdue: that lies within what is outstanding.
function parts(row) {
  const done = row.completed_assignments_count || 0;
  if (isNumber(row.checked_in) || isNumber(row.no_show))
    return ["checked_in", "enrolled", "waitlisted", "no_show"].map(name => [name, row[name] || 0]);
  if (isNumber(row.total_assignments))
    return [["completed", done], ["not_completed", row.total_assignments - done]];
  if (!isNumber(row.outstanding)) return [];
  const going = row.in_progress || 0;
  return [["completed", row.completed || 0], ["in_progress", going], ["not_started", row.outstanding - going]];
}
const size = row => parts(row).reduce((sum, [, count]) => sum + count, 0);
const lateIn = row => isNumber(row.outstanding) ? row.overdue || 0 : 0;
const words = row => [...parts(row), ["overdue", lateIn(row)]].filter(([, count]) => count)
  .map(([name, count]) => `${number(count)} ${label(name).toLowerCase()}`).join(", ") || "none";

function bar(row, most, height) {
  const all = size(row);
  if (!all) return null;
  const scale = 100 / (most || all), late = lateIn(row);
  const rect = (name, from, count, y, high) => el("rect",
    {x: from * scale, y, width: Math.max(count * scale - 0.3, 0.3), height: high, fill: COLOURS[name]});
  let before = 0;
  const rects = parts(row).filter(([, count]) => count).map(([name, count]) =>
    rect(name, (before += count) - count, count, 0, 6));
  return el("svg", {viewBox: "0 0 100 10", preserveAspectRatio: "none", height: height * 10 / 6, role: "img",
    "aria-label": words(row)}, el("title", {}, words(row)), rects,
    late ? rect("overdue", row.completed || 0, late, 7.4, 2.6) : null);
}

function legend(row) {
  const names = parts(row).filter(([, count]) => count).map(([name]) => name);
  if (lateIn(row)) names.push("overdue");
  const sign = name => el("i", {class: name === "overdue" ? "late" : null, style: `background:${COLOURS[name]}`});
  return names.length < 2 ? null
    : el("div", {class: "legend"}, names.map(name => el("span", {}, sign(name), label(name))));
}

// Months as columns, the overdue part marked at the side of each.
function trend(rows) {
  const months = rows.filter(row => /^\d{4}-\d{2}$/.test(row.due_month || ""))
    .sort((a, b) => a.due_month.localeCompare(b.due_month)).slice(-24);
  if (months.length < 2 || new Set(months.map(row => row.due_month)).size < months.length) return null;
  const most = Math.max(...months.map(size), 1), step = Math.ceil(months.length / 8), rest = rows.find(isRest);
  const told = row => `${row.due_month}: ${words(row)}`;
  const columns = months.flatMap((row, at) => {
    const rect = (name, from, count, x, width) => count ? el("rect",
      {x: at + x, y: 40 - 40 * (from + count) / most, width, height: 40 * count / most, fill: COLOURS[name]},
      el("title", {}, told(row))) : null;
    let below = 0;
    return [...parts(row).map(([name, count]) => rect(name, (below += count) - count, count, 0.12, 0.6)),
      rect("overdue", row.completed || 0, lateIn(row), 0.76, 0.14)];
  });
  return el("figure", {class: "chart"},
    el("svg", {viewBox: `0 0 ${months.length} 40`, preserveAspectRatio: "none", height: 120, role: "img",
      "aria-label": `By month of the due date: ${months.map(told).join("; ")}`}, columns),
    el("div", {class: "axis", "aria-hidden": "true", style: `--columns:${months.length}`},
      months.map((row, at) => el("span", {}, at % step ? "" : row.due_month))),
    el("figcaption", {class: "note"}, `The tallest column is ${number(most)} assignments.`
      + (rest ? ` Not drawn: ${rest.due_month.slice(1, -1)} months.` : "")));
}
