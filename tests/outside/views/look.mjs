// Looks at the views in Chromium, through a host page, and prints as JSON what it found.
// look.mjs CHROMIUM BASE FOLDER OWN_PAGE OUT: the browser, the server, this folder, a page that opens by itself, where
// pictures go.
import fs from "node:fs";
import {createRequire} from "node:module";

const require = createRequire(`${process.cwd()}/package.json`);
const {chromium} = require("playwright-core");
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const [executablePath, base, folder, ownPage, out] = process.argv.slice(2);
const hostPage = fs.readFileSync(`${folder}/host.html`, "utf8");
const browser = await chromium.launch({executablePath, args: ["--no-sandbox"]});
const found = {schema: JSON.parse(fs.readFileSync(require.resolve("@modelcontextprotocol/ext-apps/schema.json"), "utf8")), errors: [], log: [], contrast: {}, wide: {}, pictures: []};

async function fresh(width, html = hostPage) {
  const page = await browser.newPage({viewport: {width, height: 900}, acceptDownloads: false});
  page.on("pageerror", error => found.errors.push(String(error)));
  page.on("console", message => ["error", "warning"].includes(message.type()) && found.errors.push(message.text()));
  // The host stands at the server's own address, so that it may talk to it.
  await page.route(`${base}/host`, route => route.fulfill({contentType: "text/html", body: html}));
  await page.goto(`${base}/host`);
  return page;
}

async function look(page, tool, given, options = {}) {
  await page.evaluate(([name, args, how]) => open(name, args, how), [tool, given, options]);
  const view = page.frameLocator("iframe");
  await view.locator("h1, h2, .warning").first().waitFor();
  return view;
}

const frameOf = page => page.frames().find(frame => frame.parentFrame()) || page.mainFrame();
const call = (page, name, args) => page.evaluate(([tool, given]) => mcp("tools/call", {name: tool, arguments: given}), [name, args]);
const settled = page => page.waitForFunction(() => document.querySelector("iframe").getBoundingClientRect().height > 100);

// Contrast and the rest of WCAG 2 A and AA; the page must not be wider than its window.
async function check(page, name) {
  const frame = frameOf(page);
  await frame.evaluate(axe);
  const {violations} = await frame.evaluate(() => axe.run({runOnly: ["wcag2a", "wcag2aa"]}));
  found.contrast[name] = violations.map(({id, nodes}) => `${id}: ${nodes.map(node => node.html).join(" ").slice(0, 300)}`);
  found.wide[name] = await frame.evaluate(() => document.documentElement.scrollWidth - innerWidth);
}

async function picture(page, name, height) {
  await settled(page);
  const whole = await page.evaluate(() => document.querySelector("iframe").getBoundingClientRect().height);
  await page.setViewportSize({width: page.viewportSize().width, height: Math.min(Math.ceil(whole), height)});
  await page.waitForTimeout(250);
  await page.screenshot({path: `${out}/${name}.png`});
  found.pictures.push(name);
}

const keep = async page => found.log.push(...await page.evaluate(() => log));
const texts = locator => locator.allTextContents();
const names = view => texts(view.locator("main > div > .scroll > table > tbody > tr > th"));

// ---- looks: both widths, both themes

const LOOKS = [
  ["board", "report_assignments", {group_by: ["manager"], is_overdue: true}],
  ["months", "report_assignments", {group_by: ["due_month"], top: 100}],
  ["catalogue", "report_content", {}],
  ["attendance", "report_enrollments", {}],
  ["learner", "get_learner_summary", {user: "jane.doe@acme.example"}],
  ["preview", "bulk_update_assignments", {action: "drop", manager: "rosa.alvarez@acme.example", is_overdue: true}],
];
for (const width of [360, 1200]) for (const theme of ["light", "dark"]) for (const [name, tool, given] of LOOKS) {
  const page = await fresh(width);
  const view = await look(page, tool, given, {theme});
  if (name === "board") {
    await view.locator("tbody th button").first().click();
    await view.locator(".panel tbody th button").first().click();
    await view.locator(".panel .panel tbody th").first().waitFor();
  }
  await check(page, `${name} ${width} ${theme}`);
  await picture(page, `${name}-${width}-${theme}`, 1000);
  await keep(page);
  await page.close();
}

// ---- sorting, filtering, the rest, by keyboard

{
  const page = await fresh(1000), view = await look(page, "report_assignments", {group_by: ["manager"]});
  const before = await names(view);
  await view.locator("input[type=search]").focus();
  const press = async (key, times = 1) => { for (let at = 0; at < times; at++) await page.keyboard.press(key); };
  const focused = () => frameOf(page).evaluate(() => document.activeElement.textContent);
  await press("Tab", 3);
  found.keyboard = {before, header: await focused()};
  await press("Enter");
  found.keyboard.sorted = await names(view);
  found.keyboard.aria = await view.locator("th[aria-sort]").first().getAttribute("aria-sort");
  while (!(await focused()).startsWith("▸")) await press("Tab");
  found.keyboard.row = await focused();
  await press("Enter");
  await view.locator(".panel tbody th").first().waitFor();
  found.keyboard.opened = await focused();
  found.keyboard.people = await texts(view.locator(".panel tbody th"));
  await press("Enter");
  found.keyboard.closed = await view.locator(".panel").count();
  await view.locator("input[type=search]").fill("MÜLLER");
  found.filtered = {names: await names(view), said: await view.locator("span[role=status]").textContent()};
  await view.locator("input[type=search]").fill("");
  await view.getByRole("button", {name: /^Show \d+ more/}).click();
  await view.locator("tbody tr.rest").waitFor({state: "detached"});
  found.whole = (await names(view)).length;
  await view.getByRole("button", {name: "As CSV"}).click();
  await page.waitForFunction(() => files.length === 1);
  found.file = await page.evaluate(() => files[0][0].resource);
  const bare = await look(page, "report_assignments", {group_by: ["manager"]}, {can: {message: {text: {}}}});
  await bare.getByRole("button", {name: "As CSV"}).click();
  await page.waitForFunction(() => asked.length === 1);
  found.asked = await page.evaluate(() => asked[0].content[0].text);
  found.closed = await bare.locator("tbody button").count();
  const broken = {...JSON.parse((await call(page, "report_assignments", {group_by: ["manager"]})).content[0].text),
    coverage: {complete: false, rows_read: 400, rows_total: 4000, as_of: "2026-01-01T00:00:00Z", reason: "no time was left"}};
  found.incomplete = await texts((await look(page, "report_assignments", {}, {instead: {structuredContent: broken, content: []}})).locator("[role=alert]"));
  found.failed = await texts((await look(page, "report_assignments", {user: ["nobody@acme.example"]})).locator("[role=alert]"));
  found.onlyText = await texts((await look(page, "report_assignments", {},
    {instead: {content: [{type: "text", text: JSON.stringify(broken)}]}})).locator("h1"));
  await keep(page);
  await page.close();
}

// ---- a change from a row of the board: previewed, declined, confirmed, undone

{
  const page = await fresh(1000), board = {group_by: ["manager"], is_overdue: true};
  const view = await look(page, "report_assignments", board);
  const late = async manager => JSON.parse((await call(page, "report_assignments", {manager, is_overdue: true})).content[0].text).totals.total;
  const rosa = "rosa.alvarez@acme.example", row = {before: await late(rosa)};
  await view.getByRole("button", {name: /^Show \d+ more/}).click();
  await view.getByRole("button", {name: "Rosa Alvarez"}).click();
  const ask = async () => {
    await view.locator(".panel input[type=date]").first().fill("2030-01-31");
    await view.getByRole("button", {name: "Extend to"}).first().click();
    await view.getByRole("button", {name: "Confirm"}).waitFor();
  };
  await ask();
  row.preview = await view.locator(".panel h2").first().textContent();
  await view.getByRole("button", {name: "Cancel"}).click();
  row.declined = await view.getByText("Declined.").textContent();
  row.told = await page.evaluate(() => contexts.map(one => one.content[0].text));
  row.afterCancel = await late(rosa);
  await ask();
  await view.getByRole("button", {name: "Confirm"}).click();
  await view.getByRole("button", {name: "Undo"}).waitFor();
  row.afterConfirm = await late(rosa);
  await view.getByText("The figures are from before your change.").waitFor();
  await picture(page, "done-1000-light", 900);
  await view.getByRole("button", {name: "Undo"}).click();
  const again = view.getByRole("button", {name: "Confirm"});
  await again.waitFor();
  await again.click();
  await again.waitFor({state: "detached"});
  row.afterUndo = await late(rosa);
  await view.getByRole("button", {name: "Read again"}).click();
  await view.locator(".panel").waitFor({state: "detached"});
  row.toldLast = await page.evaluate(() => contexts.at(-1).content.map(one => one.text));
  found.row = row;
  await keep(page);
  await page.close();
}

// ---- the preview's own view: a flag to tick, a token that is spent, a host that tells it little

{
  const page = await fresh(700);
  const members = JSON.parse((await call(page, "list_group_members", {group: "Platform", page_size: 100})).content[0].text).items;
  const few = members.slice(0, members.length - 1).map(one => one.email);
  let view = await look(page, "replace_group_members", {group: "Platform", members: few});
  const yes = view.getByRole("button", {name: "Confirm"});
  found.flag = {before: await yes.isDisabled()};
  await view.getByLabel(/I agree to replace/).check();
  found.flag.after = await yes.isDisabled();
  await yes.click();
  await view.locator(".kicker.good").waitFor();
  found.flag.done = await view.locator("h2").textContent();
  await keep(page);
  view = await look(page, "drop_assignment", {assignment: JSON.parse((await call(page, "list_assignments", {page_size: 1, state: "not_started"})).content[0].text).items[0].public_id}, {can: {}});
  found.mute = {buttons: await view.locator("button").count(), says: await view.getByText("Answer in the chat.").count(), warns: await view.getByText("This cannot be undone.").count()};
  await page.evaluate(() => { notify("ui/notifications/host-context-changed", {theme: "dark"}); ask(900, "ui/resource-teardown"); ask(901, "ui/unknown"); });
  await page.waitForFunction(() => log.filter(({by, message}) => by === "view" && message.id >= 900).length === 2);
  found.theme = await frameOf(page).evaluate(() => [document.documentElement.dataset.theme, getComputedStyle(document.body).backgroundColor]);
  found.answers = await page.evaluate(() => log.filter(({by, message}) => by === "view" && message.id >= 900).map(({message}) => message));
  await keep(page);
  await page.close();
}

// ---- hostile names, and a host's colours

{
  const page = await fresh(900), name = `<img src=x onerror="document.title='caught'"> <b>Rosa</b> & Co`;
  const [{public_id}] = await page.evaluate(async text => {
    const made = await mcp("tools/call", {name: "create_article", arguments: {name: text}});
    return [JSON.parse(made.content[0].text).target];
  }, name);
  await call(page, "assign_content", {content_item: public_id, user: "jane.doe@acme.example", due_date: "2030-01-01"});
  const none = Object.fromEntries(found.schema.$defs.McpUiStyleVariableKey.anyOf.map(one => [one.const, ""]));
  const view = await look(page, "report_assignments", {user: ["jane.doe@acme.example"], group_by: ["content_item"], top: 100},
    {variables: {...none, "--color-background-primary": "rgb(250, 240, 230)"}});
  found.hostile = {name, shown: (await names(view)).find(text => text.includes("Rosa")), elements: await view.locator("img, main b").count(),
    title: await frameOf(page).evaluate(() => document.title)};
  found.colour = await frameOf(page).evaluate(() => getComputedStyle(document.body).backgroundColor);
  await keep(page);
  await page.close();
}

// ---- the official host

{
  const bundle = require("esbuild").buildSync({stdin: {contents: fs.readFileSync(`${folder}/official.mjs`, "utf8"), resolveDir: process.cwd()},
    bundle: true, format: "iife", write: false, logLevel: "error"}).outputFiles[0].text.replaceAll("</script", "<\\/script");
  const page = await fresh(1000, `<!doctype html><meta charset="utf-8"><title>A host</title><body><script>${bundle}</script>`);
  const args = {action: "set_due_date", user: ["jane.doe@acme.example"], is_overdue: true, due_date: "2030-02-01"};
  await page.evaluate(given => open_official("bulk_update_assignments", given), args);
  const view = page.frameLocator("iframe");
  await view.getByRole("button", {name: "Confirm"}).click();
  await view.getByRole("button", {name: "Undo"}).waitFor();
  await page.evaluate(() => bridge.setHostContext({theme: "dark"}));
  await page.waitForFunction(() => seen.contexts.length && seen.sizes.length);
  found.official = {...await page.evaluate(() => seen), theme: await frameOf(page).evaluate(() => document.documentElement.dataset.theme),
    ended: await page.evaluate(() => bridge.teardownResource({}))};
  await page.close();
}

// ---- a page that opens by itself

{
  const page = await browser.newPage({viewport: {width: 800, height: 900}, colorScheme: "dark"});
  page.on("pageerror", error => found.errors.push(String(error)));
  await page.goto(`file://${ownPage}`);
  found.own = {heading: await page.locator("h1").textContent(), rows: await page.locator("tbody tr").count(),
    theme: await page.evaluate(() => document.documentElement.dataset.theme), buttons: await texts(page.locator("button:not(th button)"))};
  await check(page, "own page");
  await page.emulateMedia({media: "print", colorScheme: "light"});
  await page.pdf({path: `${out}/own.pdf`});
  found.own.printed = await page.locator(".tools").first().isVisible();
  await page.close();
}

await browser.close();
process.stdout.write(JSON.stringify(found));
