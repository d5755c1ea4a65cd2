// The vendors' own client libraries, so that what they send can be held against what
// Mintmark's providers send for the same inputs. Run as: client.mjs NAME, where NAME is one
// of the clients below, with its input as JSON on standard input; it prints a result as JSON.
//
// What a comparison proves: that the provider asks as the vendor's own code asks, field by
// field, at the address that this code has built in. What it does not prove: that the
// vendor's service takes it, which depends on accounts and policies that are there alone.
//
// Environment:
//   MODULES              the node_modules folder that holds the libraries
//   CAPTURE              HOST:PORT of a TLS server, to which every TLS connection goes in the
//                        place of whatever host was asked for; no client here makes another
//   NODE_EXTRA_CA_CERTS  the certificate of that server, which is for example.com
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { json } from 'node:stream/consumers';
import tls from 'node:tls';

import { describe } from './openapi.mjs';
import { sign } from './sign.mjs';

const modules = createRequire(join(process.env.MODULES, 'vendors.js'));

const clients = {
  // An installation token of an app, narrowed as it is asked for.
  async github({ appId, privateKey, ...ask }) {
    const { createAppAuth } = modules('@octokit/auth-app');
    const { token } = await createAppAuth({ appId, privateKey })({ type: 'installation', ...ask });
    return { token };
  },

  // A token of a workload identity pool and, where there is a service account, one of that.
  async google({ audience, subjectToken, scopes, impersonate }) {
    const { IdentityPoolClient, Impersonated } = modules('google-auth-library');
    const pool = new IdentityPoolClient({
      audience,
      scopes: impersonate ? undefined : scopes,
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      subject_token_supplier: { getSubjectToken: async () => subjectToken },
    });
    const client = impersonate ? new Impersonated({ sourceClient: pool, targetScopes: scopes, ...impersonate }) : pool;
    const { token } = await client.getAccessToken();
    return { token };
  },

  // A service account's token, by the field of a credential file that workload identity has.
  async 'google-file'({ audience, subjectToken, scopes, url, seconds }) {
    const { IdentityPoolClient } = modules('google-auth-library');
    const client = new IdentityPoolClient({
      audience,
      scopes,
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      subject_token_supplier: { getSubjectToken: async () => subjectToken },
      service_account_impersonation_url: url,
      service_account_impersonation: { token_lifetime_seconds: seconds },
    });
    const { token } = await client.getAccessToken();
    return { token };
  },

  // A token of an application that shows an assertion. The authority's endpoints are those
  // that the library knows by heart.
  async azure({ authority, clientId, assertion, scope }) {
    const { ConfidentialClientApplication } = modules('@azure/msal-node');
    const app = new ConfidentialClientApplication({ auth: { clientId, authority, clientAssertion: assertion } });
    const { accessToken } = await app.acquireTokenByClientCredential({ scopes: [scope] });
    return { token: accessToken };
  },

  // A session of a role; command is AssumeRole or AssumeRoleWithWebIdentity.
  async aws({ region, credentials, command, input }) {
    const sts = modules('@aws-sdk/client-sts');
    const client = new sts.STSClient({ region, credentials, maxAttempts: 1 });
    const { Credentials } = await client.send(new sts[`${command}Command`](input));
    return { token: Credentials.SessionToken };
  },

  // The errors that AWS documents for a command: each one's code and status on the wire.
  async 'aws-errors'({ command }) {
    const sts = modules('@aws-sdk/client-sts');
    const types = join(dirname(modules.resolve('@aws-sdk/client-sts/package.json')), 'dist-types', 'commands', `${command}Command.d.ts`);
    const names = [...readFileSync(types, 'utf8').matchAll(/@throws \{@link (\w+)\}/g)].map(([, name]) => name);
    // STSServiceException stands for all that is not documented.
    const documented = names.filter((name) => name !== 'STSServiceException');
    return Object.fromEntries(documented.map((name) => sts[`${name}$`][3].awsQueryError));
  },

  sign: (input) => sign(modules, input),
  openapi: (input) => describe(modules, input),
};

const connect = tls.connect;
tls.connect = (options, ...rest) => {
  const [host, port] = (process.env.CAPTURE ?? '').split(':');
  return connect({ ...options, host, port, servername: 'example.com' }, ...rest);
};

const result = await clients[process.argv[2]](await json(process.stdin));
process.stdout.write(JSON.stringify(result));
