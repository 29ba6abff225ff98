const view = document.getElementById("view");

const NAMES = {total: "All", overdue: "Overdue", completion_rate: "Completion rate", average_progress: "Average progress",
  inactive: "Leavers", no_show: "No-shows", no_show_rate: "No-show rate", waitlisted: "Waiting list", total_assignments: "Assigned",
  completed_assignments_count: "Completed", avg_feedback_rating: "Rating", content_item: "Content", content_type: "Type",
  due_month: "Due in", user: "Person", due_date: "Due", name: "Content", attendance_method: "Attendance", is_active: "Account",
  with_findings: "Items with a finding", in_use: "Items in use", missing: "Never assigned"};
const MEANINGS = {overdue: "not completed, and past the due date", completion_rate: "completed ÷ (all − dropped − exempted)",
  outstanding: "not started or in progress", no_show_rate: "no-shows ÷ (checked in + no-shows)",
  no_show: "enrolled, but not checked in when it closed", with_findings: "never assigned, finished by nobody, rated below 3, or stale",
  nobody_finished: "assigned, but completed by nobody lately", missing: "people who never had it, in any state"};
const COLOURS = {completed: "var(--done)", in_progress: "var(--going)", not_started: "var(--open)", not_completed: "var(--open)",
  checked_in: "var(--done)", enrolled: "var(--going)", waitlisted: "var(--open)", no_show: "var(--late)", overdue: "var(--late)"};
const FIGURES = [["no_show_rate", "no_show", "checked_in", "total"], ["with_findings", "in_use", "never_assigned", "nobody_finished"],
  ["missing", "people"], ["overdue", "completion_rate", "outstanding", "total", "people"]];
const ORDER = ["findings", "overdue", "no_show", "no_show_rate", "completion_rate", "outstanding", "completed", "total", "people", "average_progress"];
const HIDDEN = /(_id|_email)$|^(public_id|assignment|other|suspicious|in_progress)$/;

const label = name => NAMES[name] || (name.charAt(0).toUpperCase() + name.slice(1)).replaceAll("_", " ");
const isNumber = value => typeof value === "number";
const rank = name => (ORDER.indexOf(name) + 1) || 99;
const isRest = row => Object.values(row).some(value => /^\([\d,]+ more\)$/.test(value)) && Object.keys(identity(row)).length === 0;

function shown(name, value) {
  if (value === undefined || value === null) return "";
  if (isNumber(value)) return /rate$|^(average_)?progress$/.test(name) ? `${(100 * value).toFixed(1)} %` : number(value);
  if (Array.isArray(value)) return value.map(one => name === "findings" ? label(one) : one).join(", ");
  if (name === "is_active") return value ? "active" : "deactivated";
  if (name === "due_month" && value === "none") return "no due date";
  return name === "state" || name === "status" || name === "content_type" ? label(String(value)) : String(value);
}

// What of the report is being looked at: the tool, its arguments, and below a row those that lead there.
let report = null;

const toolOf = data => data.user ? "get_learner_summary" : `report_${/reports\/(\w+)\.csv/.exec(data.csv || "")?.[1] || "assignments"}`;

function show(data) {
  if (data.error) return view.replaceChildren(problem(data.error));
  const tool = host.tool || toolOf(data), given = host.given || {};
  report = {tool, given, data};
  const totals = data.totals || {}, rows = data.rows || [];
  const note = el("div", {role: "status"});
  const lists = [["Overdue", data.overdue], ["Due next", data.next_due], ["Completed in the last 30 days", data.completed_lately]]
    .filter(([, items]) => items?.length);
  view.replaceChildren(...[
    coverage(data.coverage, false),
    el("h1", {}, data.user ? data.user.name || data.user.email : heading(tool, given)),
    data.user ? el("p", {class: "soft"}, [data.user.email, data.user.manager?.name && `reports to ${data.user.manager.name}`,
      data.user.is_active === false && "deactivated"].filter(Boolean).join(" · ")) : null,
    figures(totals),
    bar({...totals, ...totals.by_state}, 0, 14), legend({...totals, ...totals.by_state}),
    el("p", {class: "soft"}, data.summary.replace(/ [\d,]+ more [a-z ]+ in the last row: .*$/s, "")),
    note, trend(rows),
    rows.length ? grid(rows, {tool, given, note, top: true}, data) : null,
    lists.map(([words, items]) => [el("h3", {}, words), grid(items, {tool, given, note}, {})]),
    coverage(data.coverage, true),
  ].flat(2).filter(Boolean));
}

const heading = (tool, given) => {
  const by = [].concat(given.group_by || []).map(name => label(name).toLowerCase()).join(" and ");
  const words = {report_content: "The catalogue's health", report_enrollments: "Attendance"}[tool] || (given.missing ? "Never assigned"
    : given.is_overdue ? "Overdue training" : "Training progress");
  return by ? `${words} by ${by.replace("due in", "month")}` : words;
};

function figures(totals) {
  const names = FIGURES.find(([first]) => totals[first] !== undefined) || ["total"];
  const told = names.filter((name, at) => isNumber(totals[name]) && !names.slice(0, at).some(other => totals[other] === totals[name]));
  return el("dl", {class: "figures"}, told.map((name, at) =>
    figure(shown(name, totals[name]), label(name), MEANINGS[name], !at, !at && /overdue|no_show|findings/.test(name) && totals[name] > 0)));
}

// A reading that broke off is a warning at the top, else there is a quiet line at the end.
function coverage(found, quiet) {
  if (!found || found.complete !== quiet) return null;
  return quiet ? el("p", {class: "note"}, [found.how, `as of ${found.as_of.replace("T", " ").replace("Z", " UTC")}`].filter(Boolean).join("; "))
    : problem(`Incomplete: ${number(found.rows_read)} of ${number(found.rows_total)} rows were read. ${found.reason || ""}`);
}

// ---- bars

// A row's stack, and how much of it is overdue: that lies within what is outstanding.
function parts(row) {
  if (isNumber(row.checked_in) || isNumber(row.no_show))
    return ["checked_in", "enrolled", "waitlisted", "no_show"].map(name => [name, row[name] || 0]);
  if (isNumber(row.total_assignments))
    return [["completed", row.completed_assignments_count || 0], ["not_completed", row.total_assignments - (row.completed_assignments_count || 0)]];
  if (!isNumber(row.outstanding)) return [];
  const going = row.in_progress || 0;
  return [["completed", row.completed || 0], ["in_progress", going], ["not_started", row.outstanding - going]];
}
const size = row => parts(row).reduce((sum, [, count]) => sum + count, 0);
const words = row => [...parts(row), ["overdue", isNumber(row.outstanding) ? row.overdue : 0]].filter(([, count]) => count)
  .map(([name, count]) => `${number(count)} ${label(name).toLowerCase()}`).join(", ") || "none";

function bar(row, most, height) {
  const all = size(row);
  if (!all) return null;
  const scale = 100 / (most || all), late = isNumber(row.outstanding) ? row.overdue || 0 : 0;
  let x = 0;
  const rects = parts(row).filter(([, count]) => count).map(([name, count]) => {
    const start = x;
    x += count * scale;
    return el("rect", {x: start, y: 0, width: Math.max(count * scale - 0.3, 0.3), height: 6, fill: COLOURS[name]});
  });
  return el("svg", {viewBox: "0 0 100 10", preserveAspectRatio: "none", height: height * 10 / 6, role: "img", "aria-label": words(row)},
    el("title", {}, words(row)), rects,
    late ? el("rect", {x: (row.completed || 0) * scale, y: 7.4, width: Math.max(late * scale - 0.3, 0.3), height: 2.6, fill: COLOURS.overdue}) : null);
}

function legend(row) {
  const names = parts(row).filter(([, count]) => count).map(([name]) => name);
  if (row.overdue && isNumber(row.outstanding)) names.push("overdue");
  return names.length < 2 ? null : el("div", {class: "legend"}, names.map(name =>
    el("span", {}, el("i", {class: name === "overdue" ? "late" : null, style: `background:${COLOURS[name]}`}), label(name))));
}

// Months as columns, the overdue part marked at the side of each.
function trend(rows) {
  const months = rows.filter(row => /^\d{4}-\d{2}$/.test(row.due_month || "")).sort((a, b) => a.due_month.localeCompare(b.due_month)).slice(-24);
  if (months.length < 2 || new Set(months.map(row => row.due_month)).size < months.length) return null;
  const most = Math.max(...months.map(size), 1), step = Math.ceil(months.length / 8), rest = rows.find(isRest);
  const columns = months.flatMap((row, at) => {
    let y = 40;
    const rects = parts(row).map(([name, count]) => {
      const height = 40 * count / most;
      y -= height;
      return count ? el("rect", {x: at + 0.12, y, width: 0.6, height, fill: COLOURS[name]}, el("title", {}, `${row.due_month}: ${words(row)}`)) : null;
    });
    const from = 40 * (row.completed || 0) / most, late = 40 * (row.overdue || 0) / most;
    return [...rects, late ? el("rect", {x: at + 0.76, y: 40 - from - late, width: 0.14, height: late, fill: COLOURS.overdue}) : null];
  });
  return el("figure", {class: "chart", style: "margin-inline:0"},
    el("svg", {viewBox: `0 0 ${months.length} 40`, preserveAspectRatio: "none", height: 120, role: "img",
      "aria-label": "By month of the due date: " + months.map(row => `${row.due_month}: ${words(row)}`).join("; ")}, columns),
    el("div", {class: "axis", "aria-hidden": "true", style: `grid-template-columns:repeat(${months.length},minmax(0,1fr))`},
      months.map((row, at) => el("span", {}, at % step ? "" : row.due_month))),
    el("figcaption", {class: "note"}, `The tallest column is ${number(most)} assignments.`
      + (rest ? ` Not drawn: ${rest.due_month.slice(1, -1)} months.` : "")));
}

// ---- rows

function columns(rows) {
  const names = [...new Set(rows.flatMap(row => Object.keys(row)))].filter(name => !HIDDEN.test(name));
  const texts = names.filter(name => !rows.some(row => isNumber(row[name])));
  const numbers = names.filter(name => !texts.includes(name) && rows.some(row => row[name])).sort((a, b) => rank(a) - rank(b));
  // A column that says in every row what another says already is left out.
  const same = (a, b) => rows.every(row => row[a] === row[b]);
  return [...texts, ...numbers.filter((name, at) => !numbers.slice(0, at).some(other => same(name, other)))];
}

const identity = row => Object.fromEntries(Object.entries(row).filter(([name]) => /id$|email$/.test(name)));

// A table of rows that can be sorted, filtered and opened. `at` is where they stand: the call that gave them.
function grid(rows, at, data) {
  const others = rows.filter(row => !isRest(row)), rest = rows.find(isRest), names = columns(others);
  const most = Math.max(...others.map(size), 1);
  const body = el("tbody", {}), counted = el("span", {role: "status", class: "soft"});
  const open = new Map(), buttons = new Map();
  let sorted = null, down = true, wanted = "";
  const heads = names.map((name, column) => el("th", {scope: "col", class: kind(name, column)},
    el("button", {class: "plain", onclick: () => sort(name)}, label(name), el("span", {"aria-hidden": "true"}))));

  function kind(name, column) {
    const isFigure = rows.some(row => isNumber(row[name]));
    const before = names.slice(0, column).filter(other => rows.some(row => isNumber(row[other]))).length;
    const spared = isFigure ? before > 5 ? "wider" : before > 1 ? "wide" : "" : column && !/findings|state|due_date/.test(name) ? "wide" : "";
    return `${isFigure ? "number" : "name"} ${spared} ${column ? "" : "main-cell"}`;
  }
  function sort(name) {
    down = sorted === name ? !down : rows.some(row => isNumber(row[name]));
    sorted = name;
    heads.forEach((head, column) => {
      head.setAttribute("aria-sort", names[column] === name ? (down ? "descending" : "ascending") : "none");
      head.querySelector("span").textContent = names[column] === name ? (down ? " ↓" : " ↑") : "";
    });
    fill();
  }
  function fill() {
    const kept = others.filter(row => !wanted || names.some(name => shown(name, row[name]).toLowerCase().includes(wanted)));
    if (sorted) kept.sort((one, two) => {
      const [a, b] = [one[sorted], two[sorted]];
      const order = isNumber(a) || isNumber(b) ? (a ?? -1) - (b ?? -1) : shown(sorted, a).localeCompare(shown(sorted, b));
      return down ? -order : order;
    });
    body.replaceChildren(...kept.flatMap(line), ...(rest ? line(rest) : []));
    counted.textContent = wanted ? `${number(kept.length)} of ${number(others.length)} rows` : "";
  }
  function line(row) {
    const last = row === rest, below = last ? null : places(row, at);
    const act = !host.can.serverTools ? null : last ? ((at.given.top || 15) < 100 ? more : null) : below ? () => toggle(row, below) : null;
    const cells = names.map((name, column) => {
      const value = name === "findings" && row[name] ? row[name].map(one => el("span", {class: "tag"}, label(one))) : shown(name, row[name]);
      const bad = (name === "overdue" || name === "no_show") && row[name] > 0 ? " bad" : "";
      if (column) return el("td", {class: kind(name, column) + bad + dated(value)}, value);
      const text = last ? row[name].slice(1, -1) : value;
      return el("th", {scope: "row", class: kind(name, column)},
        act ? el("button", {class: "plain", "aria-expanded": last ? null : String(open.has(row)), onclick: act},
          el("span", {class: "arrow", "aria-hidden": "true"}, last ? "+" : open.has(row) ? "▾" : "▸"), last ? `Show ${text}` : text) : text,
        last || most === 1 ? null : bar(row, most, 5));
    });
    buttons.set(row, cells[0].querySelector("button"));
    return [el("tr", {class: last ? "rest" : null}, cells),
      ...(open.has(row) ? [el("tr", {}, el("td", {class: "below", colspan: names.length}, open.get(row)))] : [])];
  }
  // Redraws the rows and keeps the keyboard where it was.
  function redraw(row) {
    fill();
    buttons.get(row).focus();
  }
  async function toggle(row, below) {
    if (open.delete(row)) return redraw(row);
    const inner = el("div", {}, el("p", {class: "soft", role: "status"}, "Reading…"));
    open.set(row, el("div", {class: "panel"}, actions(row, below), below.next ? inner : null));
    redraw(row);
    if (!below.next) return;
    const found = await call(below.tool, below.next).catch(error => ({error: error.message}));
    if (found.error) return inner.replaceChildren(problem(found.error));
    const deeper = {tool: below.tool, given: below.next, note: at.note};
    inner.replaceChildren(found.rows.length ? grid(found.rows, deeper, {}) : el("p", {class: "soft"}, found.summary));
  }
  async function more(event) {
    event.currentTarget.disabled = true;
    const given = {...at.given, top: 100};
    const found = await call(at.tool, given).catch(error => ({error: error.message}));
    if (found.error) return whole.append(problem(found.error));
    if (at.top) { host.given = given; return show(found); }
    whole.replaceWith(grid(found.rows, {...at, given}, {}));
  }

  const box = el("input", {type: "search", placeholder: "Filter rows", "aria-label": "Filter rows",
    oninput: () => { wanted = box.value.trim().toLowerCase(); fill(); }});
  const canSave = data.csv && (host.can.downloadFile || host.can.message);
  const save = canSave ? el("button", {onclick: () => csv(data, at.note)}, data.csv_parts > 1 ? `As CSV (part 1 of ${data.csv_parts})` : "As CSV") : null;
  const whole = el("div", {},
    others.length > 4 || save ? el("div", {class: "tools"}, others.length > 4 ? [box, counted] : null, save) : null,
    el("div", {class: "scroll", role: "region", tabindex: "0", "aria-label": `Rows by ${label(names[0] || "").toLowerCase()}`},
      el("table", {}, el("thead", {}, el("tr", {}, heads)), body)));
  fill();
  return whole;
}

// ---- below a row

// Where a row leads: the call below it, and the filters by which its overdue assignments can be changed.
function places(row, at) {
  if (at.given.missing) return null;
  if (row.assignment) return {change: row.state && row.state !== "completed" ? {assignments: [row.assignment]} : null};
  const {group_by: _, top: __, stale_days: ___, ...kept} = at.given;
  if (at.tool === "report_enrollments") {
    const pinned = {...kept, ...(row.event_id && {event: row.event_id}), ...(row.user_email && {user: row.user_email})};
    const free = ["user", "event"].find(name => pinned[name] === undefined);
    return (row.event_id || row.user_email) && free ? {tool: at.tool, next: {...pinned, group_by: [free]}} : null;
  }
  if (at.tool === "report_content")
    return row.total_assignments ? {tool: "report_assignments", next: {content_item: [row.public_id], group_by: ["manager"]}} : null;
  const [manager, user] = [row.manager_email || row.manager_id, row.user_email || row.user_id];
  // Beside a person the manager says whose report they are.
  const pinned = {...kept, ...(manager && !user && {manager}), ...(user && {user: [user]}), ...(row.content_item_id && {content_item: [row.content_item_id]}),
    ...(row.content_type && {content_type: row.content_type}), ...(row.state && {state: row.state})};
  if (/^\d{4}-\d{2}$/.test(row.due_month || "")) {
    const [year, month] = row.due_month.split("-").map(Number);
    pinned.due_date_gte = `${row.due_month}-01`;
    pinned.due_date_lte = new Date(Date.UTC(year, month, 0)).toISOString().slice(0, 10);
  } else if (row.due_month) return null;
  if ("manager" in row && !manager && !user) return null;
  const one = name => [].concat(pinned[name] || []).length === 1;
  const free = one("user") ? ["content_item"] : pinned.manager || pinned.group ? ["user", "content_item"] : ["manager", "user", "content_item"];
  const next = free.find(name => !one(name));
  const canChange = row.overdue > 0 && Object.keys(pinned).every(name => CHANGEABLE.includes(name));
  return next || canChange ? {tool: "report_assignments", next: next && {...pinned, group_by: [next]}, change: canChange ? {...pinned, is_overdue: true} : null} : null;
}

// The filters that the report and the bulk change share. Where others are set, a change would reach more than the row.
const CHANGEABLE = ["user", "group", "manager", "content_item", "state", "is_overdue"];

// What can be done for a row. Every change is previewed first.
function actions(row, below) {
  if (!below.change) return null;
  const soon = new Date(new Date(report.data.coverage.as_of).getTime() + 14 * 864e5).toISOString().slice(0, 10);
  const date = el("input", {type: "date", value: soon, "aria-label": "New due date"});
  const box = el("div", {class: "sheet"}), note = el("div", {role: "status"});
  const ask = async given => {
    box.replaceChildren(el("p", {class: "soft", role: "status"}, "Reading…"));
    const whole = {...below.change, ...given};
    const found = await call("bulk_update_assignments", whole).catch(error => ({error: error.message}));
    showChange(box, "bulk_update_assignments", whole, found, ended => /done|partial/.test(ended) && outdated(note));
  };
  return el("div", {}, el("div", {class: "tools"},
    el("span", {class: "soft"}, below.change.assignments ? "This assignment:" : row.overdue === 1 ? "The overdue assignment:" : `All ${number(row.overdue)} overdue:`),
    el("button", {onclick: () => ask({action: "set_due_date", due_date: date.value})}, "Extend to"), date,
    el("button", {onclick: () => ask({action: "exempt"})}, "Exempt")), box, note);
}

const outdated = note => note.replaceChildren(el("p", {class: "tools"}, "The figures are from before your change.",
  el("button", {onclick: async () => show(await call(report.tool, report.given).catch(error => ({error: error.message})))}, "Read again")));

// All rows through the host: as a file, or asked for in the chat.
async function csv(data, note) {
  const uri = data.csv;
  try {
    if (!host.can.downloadFile) {
      await host.request("ui/message", {role: "user", content: [{type: "text", text: `Please give me this report as a CSV file: ${uri}`}]});
      return;
    }
    const link = {type: "resource_link", uri, name: `${report.tool}.csv`, mimeType: "text/csv"};
    const text = host.can.serverResources ? (await host.request("resources/read", {uri})).contents[0].text : null;
    const file = text === null ? link : {type: "resource", resource: {uri, mimeType: "text/csv", text}};
    const {isError} = await host.request("ui/download-file", {contents: [file]});
    if (isError) throw new Error("the download was refused");
  } catch (error) { note.replaceChildren(problem(`The CSV could not be given: ${error.message}`)); }
}
