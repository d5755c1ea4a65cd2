// An agent on the client of the TypeScript SDK. It reads {"url", "token"} from
// its standard input, talks to that MCP server, and prints what it found as
// JSON, with every byte that came back.
//
// Environment: MODULES, the node_modules folder that holds the SDK.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const modules = createRequire(join(process.env.MODULES, 'client.js'));
const load = (name) => import(pathToFileURL(modules.resolve(name)));
const { Client } = await load('@modelcontextprotocol/sdk/client/index.js');
const { StreamableHTTPClientTransport } = await load('@modelcontextprotocol/sdk/client/streamableHttp.js');

const { url, token } = JSON.parse(readFileSync(0, 'utf8'));
let received = '';

// recorded is fetch with the agent's evidence, which keeps what comes back.
async function recorded(input, init) {
  const headers = new Headers(init?.headers);
  headers.set('Authorization', `Bearer ${token}`);
  const response = await fetch(input, { ...init, headers });
  for (const [name, value] of response.headers) received += `${name}: ${value}\n`;
  if (!response.body) return response;
  const text = new TextDecoder();
  const body = response.body.pipeThrough(new TransformStream({
    transform(chunk, controller) {
      received += text.decode(chunk, { stream: true });
      controller.enqueue(chunk);
    },
  }));
  const { status, statusText } = response;
  return new Response(body, { status, statusText, headers: response.headers });
}

const client = new Client({ name: 'shop', version: '1' });
const transport = new StreamableHTTPClientTransport(new URL(url), { fetch: recorded });
await client.connect(transport);

const { tools } = await client.listTools();
const echo = await client.callTool({ name: 'echo', arguments: { message: 'hello' } });
const progress = [];
await client.callTool(
  { name: 'trigger-long-running-operation', arguments: { duration: 0.3, steps: 3 } },
  undefined,
  { onprogress: (step) => progress.push(step.progress) },
);
const session = transport.sessionId;
await transport.terminateSession();
await client.close();

console.log(JSON.stringify({
  tools: tools.map((tool) => tool.name), echo: echo.content[0].text, progress, session, received,
}));
