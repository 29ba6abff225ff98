// The official host side, to be bundled into a page: the TypeScript client forwards what the view asks for.
import {Client, StreamableHTTPClientTransport} from "@modelcontextprotocol/client";
import {AppBridge, PostMessageTransport} from "@modelcontextprotocol/ext-apps/app-bridge";

const info = {name: "official host", version: "1"};
const seen = window.seen = {sizes: [], contexts: []};

window.open_official = async (name, given) => {
  const client = new Client(info, {capabilities: {extensions: {"io.modelcontextprotocol/ui": {mimeTypes: ["text/html;profile=mcp-app"]}}}});
  await client.connect(new StreamableHTTPClientTransport(new URL("/mcp", location.href)));
  const tool = (await client.listTools()).tools.find(one => one.name === name);
  const {contents: [content]} = await client.readResource({uri: tool._meta.ui.resourceUri});
  const frame = document.createElement("iframe");
  frame.sandbox = "allow-scripts";
  frame.style.cssText = "border: 0; width: 100%; height: 800px";
  document.body.append(frame);
  const can = {serverTools: {}, serverResources: {}, updateModelContext: {text: {}}};
  const bridge = window.bridge = new AppBridge(client, info, can, {hostContext: {theme: "light", toolInfo: {tool}}});
  bridge.onsizechange = size => { seen.sizes.push(size); };
  bridge.onupdatemodelcontext = async params => { seen.contexts.push(params.content); return {}; };
  bridge.oninitialized = async () => {
    seen.app = bridge.getAppVersion();
    await bridge.sendToolInput({arguments: given});
    await bridge.sendToolResult(await client.callTool({name, arguments: given}));
  };
  await bridge.connect(new PostMessageTransport(frame.contentWindow, frame.contentWindow));
  frame.srcdoc = content.text;
};
