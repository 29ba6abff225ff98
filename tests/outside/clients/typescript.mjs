// The TypeScript SDK, 1.x or 2.x: the first argument says which, the others start the server.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [major, command, ...args] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(createRequire(`${process.cwd()}/`).resolve(name)));
const paths = {
  1: ['@modelcontextprotocol/sdk/client/index.js', '@modelcontextprotocol/sdk/client/stdio.js'],
  2: ['@modelcontextprotocol/client', '@modelcontextprotocol/client/stdio'],
};
const [{ Client }, { StdioClientTransport }] = await Promise.all(paths[major].map(load));
const client = new Client({ name: 'gate', version: '1' });
await client.connect(new StdioClientTransport({ command, args, stderr: 'ignore' }));

const heard = { tools: (await client.listTools()).tools.length };
// Some hosts show the model the text, others the structured content: both must do.
const say = async (step, name, args) => {
  try {
    const { content, structuredContent, isError } = await client.callTool({ name, arguments: args });
    if (content.some((block) => block.type !== 'text')) throw new Error(`blocks: ${content.map((block) => block.type)}`);
    if (isError && structuredContent) throw new Error('an error with structured content');
    heard[step] = isError ? content[0].text : JSON.stringify(structuredContent);
  } catch (error) {
    heard[step] = `FAILED ${error.message}`;
  }
  return heard[step];
};
await say('read', 'list_users', { page_size: 2 });
await say('filled', 'list_users', { page_size: 2, search: null, manager: '', page: null });
await say('error', 'get_user', { user: 'nobody@example.com' });
await say('report', 'report_assignments', { group_by: ['state'] });
const items = ['Introduction to Public Speaking'];
const token = (await say('preview', 'archive_content_items', { items })).match(/"confirm_token":"([^"]+)"/);
await say('confirmed', 'archive_content_items', { items, confirm_token: token?.[1] });
console.log(JSON.stringify(heard));
await client.close();
