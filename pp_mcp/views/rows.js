// The rows of a report as a table, and what lies below a row.

const ORDER = ["findings", "overdue", "no_show", "no_show_rate", "completion_rate", "outstanding", "completed", "total",
  "people", "average_progress"];
const HIDDEN = /(_id|_email)$|^(public_id|assignment|other|suspicious|in_progress)$/;
const rank = name => (ORDER.indexOf(name) + 1) || 99;

function columns(rows) {
  const names = [...new Set(rows.flatMap(row => Object.keys(row)))].filter(name => !HIDDEN.test(name));
  const texts = names.filter(name => !rows.some(row => isNumber(row[name])));
  const numbers = names.filter(name => !texts.includes(name) && rows.some(row => row[name]))
    .sort((a, b) => rank(a) - rank(b));
  // A column that says in every row what another says already is left out.
  const same = (a, b) => rows.every(row => row[a] === row[b]);
  return [...texts, ...numbers.filter((name, at) => !numbers.slice(0, at).some(other => same(name, other)))];
}

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
    const isSpared = isFigure ? before > 1 : column && !/findings|state|due_date/.test(name);
    const spared = isSpared ? (before > 5 ? "wider" : "wide") : "";
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
    const fits = row => names.some(name => shown(name, row[name]).toLowerCase().includes(wanted));
    const kept = others.filter(row => !wanted || fits(row));
    if (sorted) kept.sort((one, two) => {
      const [a, b] = [one[sorted], two[sorted]];
      const order = isNumber(a) || isNumber(b) ? (a ?? -1) - (b ?? -1)
        : shown(sorted, a).localeCompare(shown(sorted, b));
      return down ? -order : order;
    });
    body.replaceChildren(...kept.flatMap(line), ...(rest ? line(rest) : []));
    counted.textContent = wanted ? `${number(kept.length)} of ${number(others.length)} rows` : "";
  }
  function line(row) {
    const last = row === rest, below = last ? null : places(row, at), isOpen = open.has(row);
    const canAct = host.can.serverTools && (last ? (at.given.top || 15) < 100 : below);
    const act = last ? more : () => toggle(row, below);
    const cells = names.map((name, column) => {
      const value = name === "findings" && row[name]
        ? row[name].map(one => el("span", {class: "tag"}, label(one))) : shown(name, row[name]);
      const bad = (name === "overdue" || name === "no_show") && row[name] > 0 ? " bad" : "";
      if (column) return el("td", {class: kind(name, column) + bad + dated(value)}, value);
      const text = last ? row[name].slice(1, -1) : value;
      return el("th", {scope: "row", class: kind(name, column)},
        canAct ? el("button", {class: "plain", "aria-expanded": last ? null : String(isOpen), onclick: act},
          el("span", {class: "arrow", "aria-hidden": "true"}, last ? "+" : isOpen ? "▾" : "▸"),
          last ? `Show ${text}` : text) : text,
        last || most === 1 ? null : bar(row, most, 5));
    });
    buttons.set(row, cells[0].querySelector("button"));
    return [el("tr", {class: last ? "rest" : null}, cells),
      ...(isOpen ? [el("tr", {}, el("td", {class: "below", colspan: names.length}, open.get(row)))] : [])];
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
    const found = await tried(below.tool, below.next);
    if (found.error) return inner.replaceChildren(problem(found.error));
    const deeper = {tool: below.tool, given: below.next, note: at.note};
    inner.replaceChildren(found.rows.length ? grid(found.rows, deeper, {}) : el("p", {class: "soft"}, found.summary));
  }
  async function more(event) {
    event.currentTarget.disabled = true;
    const given = {...at.given, top: 100};
    const found = await tried(at.tool, given);
    if (found.error) return whole.append(problem(found.error));
    if (at.top) { host.given = given; return show(found); }
    whole.replaceWith(grid(found.rows, {...at, given}, {}));
  }

  const box = el("input", {type: "search", placeholder: "Filter rows", "aria-label": "Filter rows",
    oninput: () => { wanted = box.value.trim().toLowerCase(); fill(); }});
  const canSave = data.csv && (host.can.downloadFile || host.can.message);
  const part = data.csv_parts > 1 ? ` (part 1 of ${data.csv_parts})` : "";
  const save = canSave ? el("button", {onclick: () => csv(data, at.note)}, `As CSV${part}`) : null;
  const whole = el("div", {},
    others.length > 4 || save ? el("div", {class: "tools"}, others.length > 4 ? [box, counted] : null, save) : null,
    el("div", {class: "scroll", role: "region", tabindex: "0", "aria-label": `Rows: ${label(names[0] || "")}`},
      el("table", {}, el("thead", {}, el("tr", {}, heads)), body)));
  fill();
  return whole;
}

// ---- below a row

// Where a row leads: the call below it, and the filters by which its overdue assignments can be changed.
function places(row, at) {
  if (isTrue(at.given.missing)) return null;
  if (row.assignment) return {change: row.state && row.state !== "completed" ? {assignments: [row.assignment]} : null};
  const {group_by: _, top: __, stale_days: ___, ...kept} = at.given;
  if (at.tool === "report_enrollments") {
    const pinned = {...kept, ...(row.event_id && {event: row.event_id}), ...(row.user_email && {user: row.user_email})};
    const free = ["user", "event"].find(name => pinned[name] === undefined);
    return (row.event_id || row.user_email) && free ? {tool: at.tool, next: {...pinned, group_by: [free]}} : null;
  }
  if (at.tool === "report_content")
    return !row.total_assignments ? null
      : {tool: "report_assignments", next: {content_item: [row.public_id], group_by: ["manager"]}};
  const [manager, user] = [row.manager_email || row.manager_id, row.user_email || row.user_id];
  // Beside a person the manager says whose report they are.
  const pinned = {...kept, ...(manager && !user && {manager}), ...(user && {user: [user]}),
    ...(row.content_item_id && {content_item: [row.content_item_id]}),
    ...(row.content_type && {content_type: row.content_type}), ...(row.state && {state: row.state})};
  if (/^\d{4}-\d{2}$/.test(row.due_month || "")) {
    const [year, month] = row.due_month.split("-").map(Number);
    pinned.due_date_gte = `${row.due_month}-01`;
    pinned.due_date_lte = new Date(Date.UTC(year, month, 0)).toISOString().slice(0, 10);
  } else if (row.due_month) return null;
  if ("manager" in row && !manager && !user) return null;
  const one = name => [].concat(pinned[name] || []).length === 1;
  const free = one("user") ? ["content_item"]
    : pinned.manager || pinned.group ? ["user", "content_item"] : ["manager", "user", "content_item"];
  const next = free.find(name => !one(name));
  const canChange = row.overdue > 0 && Object.keys(pinned).every(name => CHANGEABLE.includes(name));
  const change = canChange ? {...pinned, is_overdue: true} : null;
  return next || change ? {tool: at.tool, next: next && {...pinned, group_by: [next]}, change} : null;
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
    const found = await tried("bulk_update_assignments", whole);
    showChange(box, "bulk_update_assignments", whole, found, ended => /done|partial/.test(ended) && outdated(note));
  };
  return el("div", {}, el("div", {class: "tools"},
    el("span", {class: "soft"}, below.change.assignments ? "This assignment:"
      : row.overdue === 1 ? "The overdue assignment:" : `All ${number(row.overdue)} overdue:`),
    el("button", {onclick: () => ask({action: "set_due_date", due_date: date.value})}, "Extend to"), date,
    el("button", {onclick: () => ask({action: "exempt"})}, "Exempt")), box, note);
}

const outdated = note => note.replaceChildren(el("p", {class: "tools"}, "The figures are from before your change.",
  el("button", {onclick: async () => show(await tried(report.tool, report.given))}, "Read again")));

// All rows through the host: as a file, or asked for in the chat.
async function csv(data, note) {
  const uri = data.csv;
  try {
    if (!host.can.downloadFile) {
      const text = `Please give me this report as a CSV file: ${uri}`;
      await host.request("ui/message", {role: "user", content: [{type: "text", text}]});
      return;
    }
    const link = {type: "resource_link", uri, name: `${report.tool}.csv`, mimeType: "text/csv"};
    const text = host.can.serverResources ? (await host.request("resources/read", {uri})).contents[0].text : null;
    const file = text === null ? link : {type: "resource", resource: {uri, mimeType: "text/csv", text}};
    const {isError} = await host.request("ui/download-file", {contents: [file]});
    if (isError) throw new Error("the download was refused");
  } catch (error) { note.replaceChildren(problem(`The CSV could not be given: ${error.message}`)); }
}
