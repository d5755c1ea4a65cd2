// AWS's own signers, of Signature Version 4 and 4A. A signature of 4 can be compared; one of 4A
// is another each time, so the result has what it is verified with: the public half of the
// key that AWS's code derives, and the text that it signs. Beside it is the canonical request,
// for a person to look at.
import { createECDH, createHash, createHmac } from 'node:crypto';

export async function sign(modules, { version, credentials, region, service, date, request }) {
  const signers = { v4: modules('@smithy/signature-v4').SignatureV4, v4a: modules('@smithy/signature-v4a').SignatureV4a };
  const seen = {};
  const signer = new (class extends signers[version] {
    getSignature(...all) {
      if (version === 'v4a') {
        const [key, text] = all;
        const pair = createECDH('prime256v1');
        pair.setPrivateKey(key);
        Object.assign(seen, { key: pair.getPublicKey('hex'), text });
      }
      return super.getSignature(...all);
    }

    createCanonicalRequest(...all) {
      seen.canonical = super.createCanonicalRequest(...all);
      return seen.canonical;
    }
  })({ credentials, region, service, sha256: SHA256, uriEscapePath: service !== 's3', applyChecksum: true });
  const { headers } = await signer.sign(request, { signingDate: new Date(date) });
  return { headers, ...seen };
}

// SHA256 is the hash, or with a secret its HMAC, in the form that AWS's code asks for.
class SHA256 {
  constructor(secret) {
    this.hash = secret ? createHmac('sha256', secret) : createHash('sha256');
  }

  update(data) {
    this.hash.update(data);
  }

  async digest() {
    return new Uint8Array(this.hash.digest());
  }
}
