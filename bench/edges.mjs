// One side of token_js_vs_webcrypto: edges.mjs <tokens.json> ours|bare <seconds>; prints the rate and the 99th percentile.
import { readFileSync } from "node:fs";

import { TokenVerifier } from "../clients/js/tokens.js";

const [file, side, seconds] = process.argv.slice(2);
const { key, tokens } = JSON.parse(readFileSync(file, "utf8"));
const [ISSUER, AUDIENCE] = ["newsstand", "newsstand-site"];

const jwk = { kty: key.kty, crv: key.crv, x: key.x, y: key.y };
const curve = { name: "ECDSA", namedCurve: "P-256" };
const imported = await crypto.subtle.importKey("jwk", jwk, curve, false, ["verify"]);
const cut = new Map(tokens.map((token) => {
  const last = token.lastIndexOf(".");
  return [token, [Buffer.from(token.slice(last + 1), "base64url"), Buffer.from(token.slice(0, last))]];
}));
let reading;

const sides = {
  ours: {
    async fresh() {
      reading = new TokenVerifier({ issuer: ISSUER, audience: AUDIENCE, leeway: 5, remember: 10_000 });
      await reading.setKeys({ keys: [key] });
    },
    one: (token) => reading.verify(token, Date.now() / 1000),
  },
  bare: {
    async fresh() {},
    one: (token) => crypto.subtle.verify({ name: "ECDSA", hash: "SHA-256" }, imported, ...cut.get(token)),
  },
};

const { fresh, one } = sides[side];
const took = [];
let spent = 0;
for (let i = 0; spent < Number(seconds); i += 1) {
  if (i % tokens.length === 0) await fresh();
  const begun = performance.now();
  if (!(await one(tokens[i % tokens.length]))) throw new Error("a genuine token was refused");
  took.push((performance.now() - begun) / 1000);
  spent += took[took.length - 1];
}
took.sort((a, b) => a - b);
console.log(JSON.stringify({ rate: took.length / spent, p99: took[Math.floor(took.length * 0.99)] }));
