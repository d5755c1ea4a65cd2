// Serves a stdio MCP server over streamable HTTP: each session gets a process of
// its own, and messages pass both ways as they are.
//
//   server.mjs PROGRAM [ARGUMENT...]
//
// Environment:
//   PORT     port on 127.0.0.1
//   MODULES  the node_modules folder that holds @modelcontextprotocol/sdk
//
// Prints "ready" on a line of its own when it listens.
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

// The modules are in the cache and not beside this file, where import looks.
const modules = createRequire(join(process.env.MODULES, 'bridge.js'));
const load = (name) => import(pathToFileURL(modules.resolve(`@modelcontextprotocol/sdk/${name}`)));
const { StdioClientTransport } = await load('client/stdio.js');
const { StreamableHTTPServerTransport } = await load('server/streamableHttp.js');

const [command, ...args] = process.argv.slice(2);
const sessions = new Map(); // of transports, by the session's id

// open returns the transport of a new session. The process gets the SDK's short
// list of safe variables, and nothing else of the environment.
async function open() {
  const http = new StreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    onsessioninitialized: (id) => sessions.set(id, http),
  });
  const stdio = new StdioClientTransport({ command, args, stderr: 'inherit' });
  http.onmessage = (message) => stdio.send(message);
  stdio.onmessage = (message) => http.send(message);
  http.onclose = () => sessions.delete(http.sessionId) && stdio.close();
  stdio.onclose = () => http.close();
  await Promise.all([http.start(), stdio.start()]);
  return http;
}

const server = createServer(async (request, response) => {
  const id = request.headers['mcp-session-id'];
  if (id !== undefined && !sessions.has(id)) {
    response.writeHead(404).end();
    return;
  }
  const transport = id === undefined ? await open() : sessions.get(id);
  await transport.handleRequest(request, response);
});
server.listen(Number(process.env.PORT), '127.0.0.1', () => console.log('ready'));
