// The JavaScript client, beside the running service: tests/clients/test_javascript.py starts one and tells of it.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { Edge, Unavailable } from "newsstand-edge";

const told = JSON.parse(readFileSync(process.env.NEWSSTAND_TOLD, "utf8"));
let ahead = 0;
const clock = () => Date.now() / 1000 + ahead;
const carrying = (token) => ({ headers: { cookie: `a="b; odd=[]; newsstand_entitlements=${token}; z=1` } });

async function opened(options = {}) {
  const edge = new Edge(told.url, { apiKey: told.apiKey, clock, ...options });
  await edge.refresh();
  return edge;
}

test("a token opens what was bought and nothing else", async () => {
  const edge = await opened();
  for (let i = 0; i < 2; i += 1) { // the second time it is remembered
    const answer = await edge.may(carrying(told.token), "archive");
    assert.equal(answer.allowed, true, answer.reason);
    assert.equal(answer.subscriber, told.subscriber);
    assert.ok(answer.until > clock());
    const fetched = new Request("https://site.example.com/", { headers: { authorization: `Bearer ${told.token}` } });
    assert.equal((await edge.may(fetched, "archive")).allowed, true);
    assert.equal((await edge.may(carrying(told.token), "print_edition")).reason, "not_entitled");
    assert.equal((await edge.may(carrying(told.token), "constructor")).reason, "not_entitled");
  }
  assert.equal((await edge.may({ headers: {} }, "archive")).reason, "no_token");
});

test("answers are counted by their reasons", async () => {
  const edge = await opened();
  for (const [token] of Object.values(told.forged)) await edge.mayToken(token, "archive");
  await edge.may({ headers: {} }, "archive");
  await edge.mayToken(told.token, "print_edition");
  const expected = { no_token: 1, not_entitled: 1 };
  for (const [, reason] of Object.values(told.forged)) expected[reason] = (expected[reason] ?? 0) + 1;
  assert.deepEqual({ ...edge.counted }, expected);
});

for (const [name, [token, reason]] of Object.entries(told.forged)) {
  test(`a token ${name} opens nothing`, async () => {
    const answer = await (await opened()).mayToken(token, "archive");
    assert.deepEqual([answer.allowed, answer.reason], [false, reason]);
  });
}

test("a token of another issuer or for another audience opens nothing", async () => {
  for (const options of [{ issuer: "another" }, { audience: "another" }]) {
    assert.equal((await (await opened(options)).mayToken(told.token, "archive")).reason, "token_invalid");
  }
});

test("a token holds from its beginning to its end", async () => {
  const edge = await opened();
  ahead = -3600;
  assert.equal((await edge.mayToken(told.token, "archive")).reason, "token_not_yet_valid");
  ahead = 3700; // no token lives longer than an hour
  assert.equal((await edge.mayToken(told.token, "archive")).reason, "token_expired");
  ahead = 0;
});

test("a reader whom the service refuses is refused at the edge before their token dies", async () => {
  const edge = new Edge(told.url, { apiKey: told.apiKey });
  await edge.start();
  assert.equal((await edge.mayToken(told.token, "archive")).allowed, true);

  const gone = await fetch(`${told.url}/v1/me/subscription/cancel`, {
    method: "POST",
    headers: { authorization: told.authorization, "content-type": "application/json" },
    body: JSON.stringify({ when: "now" }),
  });
  assert.equal(gone.status, 200);

  while ((await edge.mayToken(told.token, "archive")).allowed) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal((await edge.mayToken(told.token, "archive")).reason, "token_revoked");
  edge.close();
});

test("without Newsstand nothing opens and nothing breaks", async () => {
  const alone = new Edge("http://127.0.0.1:9");
  await assert.rejects(alone.start(), Unavailable);
  assert.equal((await alone.mayToken(told.token, "archive")).reason, "token_unknown_key");
  alone.close();
});
