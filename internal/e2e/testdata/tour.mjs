// An agent on the client of the TypeScript SDK that knows nothing of identities:
// it calls the MCP server at a URL in every way there is, and prints what it
// found as JSON.
//
//   tour.mjs URL
//
// Environment: MODULES, the node_modules folder that holds the SDK.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const modules = createRequire(join(process.env.MODULES, 'tour.js'));
const load = (name) => import(pathToFileURL(modules.resolve(`@modelcontextprotocol/sdk/${name}`)));
const { Client } = await load('client/index.js');
const { StreamableHTTPClientTransport } = await load('client/streamableHttp.js');

const client = new Client({ name: 'tour', version: '1' });
const transport = new StreamableHTTPClientTransport(new URL(process.argv[2]));
await client.connect(transport);

const { tools } = await client.listTools();
const echo = await client.callTool({ name: 'echo', arguments: { message: 'hello' } });
const { resources } = await client.listResources();
const read = await client.readResource({ uri: resources[0].uri });
const { prompts } = await client.listPrompts();
const prompt = await client.getPrompt({ name: 'simple-prompt' });
const progress = [];
await client.callTool(
  { name: 'trigger-long-running-operation', arguments: { duration: 0.3, steps: 3 } },
  undefined,
  { onprogress: (step) => progress.push(step.progress) },
);
await transport.terminateSession();
await client.close();

console.log(JSON.stringify({
  server: client.getServerVersion().name,
  tools: tools.map((tool) => tool.name),
  echo: echo.content[0].text,
  uri: resources[0].uri,
  resource: read.contents[0],
  prompts: prompts.map((one) => one.name),
  prompt: prompt.messages[0].content.text,
  progress,
}));
