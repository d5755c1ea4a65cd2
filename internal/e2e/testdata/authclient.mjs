// The client that the conformance suite runs: it hands what the suite told it to a
// test, which lets Mintmark make the call, and ends as that did.
//
//   authclient.mjs TEST_URL SERVER_URL
//
// Environment, of the suite: MCP_CONFORMANCE_SCENARIO, MCP_CONFORMANCE_CONTEXT.
const [test, server] = process.argv.slice(2);
const answer = await fetch(test, {
  method: 'POST',
  body: JSON.stringify({
    scenario: process.env.MCP_CONFORMANCE_SCENARIO,
    server,
    context: JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT || '{}'),
  }),
});
console.error(await answer.text());
process.exit(answer.ok ? 0 : 1);
