// Clients that show a certificate (RFC 8705): the same server once more, over TLS
// that asks for one. As the RFC's section 5 has it, the metadata names this one
// beside the other.
import { createServer } from 'node:https';

const endpoints = { token: '/token', revocation: '/token/revocation', introspection: '/token/introspection', userinfo: '/me' };

// feature is what the library leaves to its users. No certificate of a connection
// without TLS is one.
export const feature = {
  enabled: true,
  certificateBoundAccessTokens: true,
  selfSignedTlsClientAuth: true,
  tlsClientAuth: true,
  getCertificate: (ctx) => ctx.socket.getPeerX509Certificate?.(),
  certificateAuthorized: (ctx) => ctx.socket.authorized === true, // by the roots of listen
  certificateSubjectMatches,
};

// aliases are the endpoints at base, as metadata has them.
export function aliases(base) {
  return Object.fromEntries(Object.entries(endpoints).map(([name, path]) => [`${name}_endpoint`, base + path]));
}

// listen serves with a certificate and key of PEM. Whatever a client shows gets
// through the handshake: the library judges it, by roots where that is asked for.
export function listen(provider, { port, cert, key, roots }) {
  const options = { cert, key, requestCert: true, rejectUnauthorized: false };
  // Without roots of its own, Node would take those that browsers know.
  const server = createServer({ ...options, ca: roots || cert }, provider.callback());
  return new Promise((resolve) => { server.listen(port, '127.0.0.1', resolve); });
}

function certificateSubjectMatches(ctx, property, expected) {
  const certificate = ctx.socket.getPeerX509Certificate();
  const names = (certificate.subjectAltName || '').split(', ');
  switch (property) {
    case 'tls_client_auth_subject_dn': // RFC 4514 begins with the last part
      return certificate.subject.split('\n').reverse().join(',') === expected;
    case 'tls_client_auth_san_dns':
      return names.includes(`DNS:${expected}`);
    case 'tls_client_auth_san_uri':
      return names.includes(`URI:${expected}`);
    default:
      throw new Error(`no test needs ${property}`);
  }
}
