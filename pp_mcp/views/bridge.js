// The view's side of an MCP App (io.modelcontextprotocol/ui, 2026-01-26): JSON-RPC by postMessage, with the parent
// alone.
const host = (() => {
  let next = 1;
  const waiting = new Map(), on = {};
  const send = message => parent.postMessage({jsonrpc: "2.0", ...message}, "*");
  addEventListener("message", event => {
    const message = event.data;
    if (event.source !== window.parent || !message || message.jsonrpc !== "2.0") return;
    if (message.method) {
      const known = message.method === "ping" || message.method === "ui/resource-teardown" || on[message.method];
      on[message.method]?.(message.params || {});
      if (message.id === undefined) return;
      send({id: message.id, ...(known ? {result: {}} : {error: {code: -32601, message: "Method not found"}})});
    } else if (waiting.has(message.id)) {
      const [resolve, reject] = waiting.get(message.id);
      waiting.delete(message.id);
      message.error ? reject(new Error(message.error.message)) : resolve(message.result);
    }
  });
  const notify = (method, params = {}) => send({method, params});
  const request = (method, params = {}) => new Promise((resolve, reject) => {
    waiting.set(next, [resolve, reject]);
    send({id: next++, method, params});
  });
  return {on, notify, request, can: {}, tool: null, given: null};
})();

const root = document.documentElement;

function setTheme(theme) {
  root.dataset.theme = theme;
  // Hosts' variables may be written with light-dark().
  root.style.colorScheme = theme;
}

// A context-changed notification brings only what changed.
function applyContext(context) {
  if (context.theme) setTheme(context.theme);
  if (context.toolInfo?.tool?.name) host.tool = context.toolInfo.tool.name;
  for (const [name, value] of Object.entries(context.styles?.variables || {}))
    if (value) root.style.setProperty(name, value);
}

// What a tool answered; of an error, or of anything else, the text.
function dataOf(result) {
  if (result.structuredContent) return result.structuredContent;
  const text = result.content?.find(block => block.type === "text")?.text || "";
  try { if (!result.isError) return JSON.parse(text); } catch { /* it is a sentence */ }
  return {error: text || "There is nothing to show."};
}

const call = async (name, given) => dataOf(await host.request("tools/call", {name, arguments: given}));
// The same, where the host's own failure is shown like the tool's.
const tried = (name, given) => call(name, given).catch(error => ({error: error.message}));

// What the model should know of what happened in the view; a host that cannot tell it leaves it to the person. What is
// sent takes the place of what was sent before, so it is all of it.
const happened = [];
const tell = text => {
  happened.push({type: "text", text});
  if (host.can.updateModelContext) host.request("ui/update-model-context", {content: happened}).catch(() => {});
};

// An element with attributes and children. Text is only ever text.
function el(name, attributes = {}, ...children) {
  const isSvg = ["svg", "rect", "title"].includes(name);
  const node = isSvg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat(2).filter(child => child || child === 0));
  return node;
}

// Shows the data that stands in the page, or connects to the host and shows what it sends.
function start(name, show) {
  const embedded = document.getElementById("data");
  if (embedded) {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const follow = () => setTheme(dark.matches ? "dark" : "light");
    dark.addEventListener("change", follow);
    follow();
    const {tool, given, data} = JSON.parse(embedded.textContent);
    [host.tool, host.given] = [tool, given];
    show(data);
    return;
  }
  host.on["ui/notifications/tool-input"] = params => { host.given = params.arguments || {}; };
  host.on["ui/notifications/tool-result"] = result => show(dataOf(result));
  host.on["ui/notifications/tool-cancelled"] = () => show({error: "The call was cancelled."});
  host.on["ui/notifications/host-context-changed"] = applyContext;
  let timer;
  new ResizeObserver(() => {
    clearTimeout(timer);
    timer = setTimeout(() => host.notify("ui/notifications/size-changed", {
      width: root.scrollWidth, height: Math.ceil(root.getBoundingClientRect().height)}), 50);
  }).observe(root);
  host.request("ui/initialize", {
    protocolVersion: "2026-01-26", appInfo: {name, version: "1"},
    appCapabilities: {availableDisplayModes: ["inline", "fullscreen"]},
  }).then(result => {
    host.can = result.hostCapabilities || {};
    applyContext(result.hostContext || {});
    host.notify("ui/notifications/initialized");
  }).catch(error => show({error: error.message}));
}

const problem = text => el("p", {class: "warning", role: "alert"}, text);
const number = value => value.toLocaleString("en-US");
