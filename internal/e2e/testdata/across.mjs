// An agent on the client of the TypeScript SDK, of its first generation (sessions,
// revision 2025-11-25) or its second (revision 2026-07-28), that knows nothing of
// Mintmark. It does what the plan says, answers what it is asked, and prints what
// it found as JSON.
//
//   across.mjs PLAN
//
//   {"sdk": "v1" or "v2", "url": …, "text": CALL, "progress": CALL, "asks": [CALL, …],
//    "prompt": name, "resource": uri, "hang": {"url": …, "call": CALL}}
//
// A CALL has the name and the arguments of a tool. That of "hang" reports progress
// and then never ends, until it is cancelled.
//
// Environment: MODULES, the node_modules folder that holds the SDKs.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const modules = createRequire(join(process.env.MODULES, 'across.js'));
const load = (name) => import(pathToFileURL(modules.resolve(name)));
const info = { name: 'across', version: '1' };

const given = { name: 'Ada', color: 'green', check: true };
const asked = [];

// elicited answers what the schema asks for, as a user would.
function elicited({ params }) {
  asked.push(params.message);
  const names = Object.keys(params.requestedSchema.properties).filter((name) => name in given);
  return { action: 'accept', content: Object.fromEntries(names.map((name) => [name, given[name]])) };
}

function sampled() {
  return { model: 'none', role: 'assistant', content: { type: 'text', text: 'from the agent' } };
}

function listed() {
  return { roots: [{ uri: 'file:///home', name: 'home' }] };
}

// generations are the two SDKs, as far as they differ.
const generations = {
  async v1() {
    const { Client } = await load('@modelcontextprotocol/sdk/client/index.js');
    const { StreamableHTTPClientTransport } = await load('@modelcontextprotocol/sdk/client/streamableHttp.js');
    const types = await load('@modelcontextprotocol/sdk/types.js');
    return {
      async connect(url, capabilities) {
        const client = new Client(info, { capabilities });
        if (capabilities.elicitation) client.setRequestHandler(types.ElicitRequestSchema, elicited);
        if (capabilities.sampling) client.setRequestHandler(types.CreateMessageRequestSchema, sampled);
        if (capabilities.roots) client.setRequestHandler(types.ListRootsRequestSchema, listed);
        const transport = new StreamableHTTPClientTransport(new URL(url));
        await client.connect(transport);
        return {
          client,
          revision: transport.protocolVersion,
          session: transport.sessionId,
          call: (call, options) => client.callTool(call, undefined, options),
          end: async () => { await transport.terminateSession(); await client.close(); },
        };
      },
    };
  },
  async v2() {
    const { Client, StreamableHTTPClientTransport } = await load('@modelcontextprotocol/client');
    return {
      async connect(url, capabilities) {
        const client = new Client(info, { capabilities, versionNegotiation: { mode: 'auto' } });
        if (capabilities.elicitation) client.setRequestHandler('elicitation/create', elicited);
        if (capabilities.sampling) client.setRequestHandler('sampling/createMessage', sampled);
        if (capabilities.roots) client.setRequestHandler('roots/list', listed);
        const transport = new StreamableHTTPClientTransport(new URL(url));
        await client.connect(transport);
        return {
          client,
          revision: client.getNegotiatedProtocolVersion(),
          session: transport.sessionId,
          call: (call, options) => client.callTool(call, options),
          end: () => client.close(),
        };
      },
    };
  },
};

// toolNames lists the tools until those are there that a server adds once it knows
// what its client can be asked.
async function toolNames(client, wanted) {
  for (const end = Date.now() + 30_000; ;) {
    const names = (await client.listTools()).tools.map((tool) => tool.name);
    if (wanted.every((name) => names.includes(name)) || Date.now() > end) return names;
  }
}

const textOf = (result) => result.content.map((part) => part.text).join('');

const plan = JSON.parse(process.argv[2]);
const { connect } = await generations[plan.sdk]();
const { client, revision, session, call, end } = await connect(plan.url, plan.capabilities);

const tools = await toolNames(client, plan.asks.map((one) => one.name));
const text = textOf(await call(plan.text));
const { prompts } = await client.listPrompts();
const prompt = await client.getPrompt({ name: plan.prompt });
const { resources } = await client.listResources();
const uri = plan.resource || resources[0].uri;
const read = await client.readResource({ uri });
const progress = [];
await call(plan.progress, { onprogress: (step) => progress.push(step.progress) });
const answers = [];
for (const one of plan.asks) answers.push(textOf(await call(one)));
await end();

const hanging = await connect(plan.hang.url, {});
const abort = new AbortController();
let cancelled = 'it was not';
try {
  await hanging.call(plan.hang.call, { signal: abort.signal, onprogress: () => abort.abort('enough') });
} catch (error) {
  cancelled = String(error?.message ?? error);
}
await hanging.end();

console.log(JSON.stringify({
  revision, session, tools, text, prompts: prompts.map((one) => one.name), prompt: prompt.messages[0].content.text,
  resources: resources.map((one) => one.uri), resource: read.contents[0], progress, asked, answers, cancelled,
}));
