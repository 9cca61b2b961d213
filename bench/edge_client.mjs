// Runs one side of token_js_vs_webcrypto: edge_client.mjs <tokens.json> client|webcrypto <seconds>. Prints the rate and the
// 99th percentile as JSON.
import { readFileSync } from "node:fs";

import { TokenVerifier } from "../clients/js/tokens.js";

const [file, side, seconds] = process.argv.slice(2);
const { key, tokens } = JSON.parse(readFileSync(file, "utf8"));
const [ISSUER, AUDIENCE] = ["newsstand", "newsstand-site"];

const jwk = { kty: key.kty, crv: key.crv, x: key.x, y: key.y };
const curve = { name: "ECDSA", namedCurve: "P-256" };
const imported = await crypto.subtle.importKey("jwk", jwk, curve, false, ["verify"]);
const signedParts = new Map(tokens.map((token) => {
  const last = token.lastIndexOf(".");
  return [token, [Buffer.from(token.slice(last + 1), "base64url"), Buffer.from(token.slice(0, last))]];
}));
let verifier;

const sides = {
  client: {
    async reset() {
      verifier = new TokenVerifier({ issuer: ISSUER, audience: AUDIENCE, leeway: 5, remember: 10_000 });
      await verifier.setKeys({ keys: [key] });
    },
    verify: (token) => verifier.verify(token, Date.now() / 1000),
  },
  webcrypto: {
    async reset() {},
    verify: (token) => crypto.subtle.verify({ name: "ECDSA", hash: "SHA-256" }, imported, ...signedParts.get(token)),
  },
};

const { reset, verify } = sides[side];
const latencies = [];
let elapsed = 0;
for (let i = 0; elapsed < Number(seconds); i += 1) {
  if (i % tokens.length === 0) await reset();
  const startedAt = performance.now();
  if (!(await verify(tokens[i % tokens.length]))) throw new Error("a valid token was rejected");
  latencies.push((performance.now() - startedAt) / 1000);
  elapsed += latencies.at(-1);
}
latencies.sort((a, b) => a - b);
console.log(JSON.stringify({ rate: latencies.length / elapsed, p99: latencies[Math.floor(latencies.length * 0.99)] }));
