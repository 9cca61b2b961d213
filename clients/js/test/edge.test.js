// The JavaScript client against a running service, which tests/clients/test_javascript.py starts.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { ApiKeyRefused, Edge, NoApiKey, UnknownFeature, Unavailable } from "newsstand-edge";

const config = JSON.parse(readFileSync(process.env.NEWSSTAND_TEST_CONFIG, "utf8"));
let clockOffset = 0; // seconds
const clock = () => Date.now() / 1000 + clockOffset;
const requestWith = (token) => ({ headers: { cookie: `a="b; odd=[]; newsstand_entitlements=${token}; z=1` } });

async function startEdge(options = {}) {
  const edge = new Edge(config.url, { apiKey: config.apiKey, clock, ...options });
  await edge.refresh();
  return edge;
}

test("a valid token grants its features and nothing else", async () => {
  const edge = await startEdge();
  for (let i = 0; i < 2; i += 1) { // the second check uses the cache
    const answer = await edge.may(requestWith(config.token), "archive");
    assert.equal(answer.allowed, true, answer.reason);
    assert.equal(answer.subscriber, config.subscriber);
    assert.ok(answer.until > clock());
    const fetched = new Request("https://site.example.com/", { headers: { authorization: `Bearer ${config.token}` } });
    assert.equal((await edge.may(fetched, "archive")).allowed, true);
    assert.equal((await edge.may(requestWith(config.token), "print_edition")).reason, "not_entitled");
  }
  assert.equal((await edge.may({ headers: {} }, "archive")).reason, "no_token");
});

test("answers are counted by reason", async () => {
  const edge = await startEdge();
  for (const [token] of Object.values(config.forgedTokens)) await edge.mayToken(token, "archive");
  await edge.may({ headers: {} }, "archive");
  await edge.mayToken(config.token, "print_edition");
  const expected = { no_token: 1, not_entitled: 1 };
  for (const [, reason] of Object.values(config.forgedTokens)) expected[reason] = (expected[reason] ?? 0) + 1;
  assert.deepEqual({ ...edge.counts }, expected);
});

for (const [name, [token, reason]] of Object.entries(config.forgedTokens)) {
  test(`a token ${name} is rejected`, async () => {
    const answer = await (await startEdge()).mayToken(token, "archive");
    assert.deepEqual([answer.allowed, answer.reason], [false, reason]);
  });
}

test("a token of another issuer or audience is rejected", async () => {
  for (const options of [{ issuer: "another" }, { audience: "another" }]) {
    assert.equal((await (await startEdge(options)).mayToken(config.token, "archive")).reason, "token_invalid");
  }
});

test("a token is valid between its nbf and exp claims", async () => {
  const edge = await startEdge();
  clockOffset = -3600;
  assert.equal((await edge.mayToken(config.token, "archive")).reason, "token_not_yet_valid");
  clockOffset = 3700; // tokens are valid for an hour at most
  assert.equal((await edge.mayToken(config.token, "archive")).reason, "token_expired");
  clockOffset = 0;
});

test("a wrong API key is reported at the start", async () => {
  const edge = new Edge(config.url, { apiKey: "nsk_wrong" });
  await assert.rejects(edge.start(), ApiKeyRefused);
  await assert.rejects(edge.refresh(), ApiKeyRefused);
  edge.close();
});

test("an empty or impossible API key is refused, and a missing one is reported", async () => {
  for (const apiKey of ["", " \n", "nsk secret", "nsk_schlüssel"]) {
    const isClear = (/** @type {Error} */ error) => error instanceof TypeError && !/secret|schl/.test(error.message);
    assert.throws(() => new Edge(config.url, { apiKey }), isClear);
  }
  const edge = new Edge(config.url, { apiKey: `${config.apiKey}\n` }); // as read from a file
  await edge.start();
  edge.close();
  const errors = /** @type {unknown[]} */ ([]);
  const without = new Edge(config.url, { apiKey: process.env.NOT_SET, onError: (error) => errors.push(error) });
  await without.start();
  without.close();
  assert.deepEqual(errors.map((error) => error instanceof NoApiKey), [true]);
});

test("an unknown feature is reported once, and answered with its own reason", async () => {
  const errors = [];
  const edge = await startEdge({ onError: (error) => errors.push(error) });
  for (const name of ["constructor", "archiv", "archiv"]) {
    const answer = await edge.may(requestWith(config.token), name);
    assert.deepEqual([answer.allowed, answer.reason], [false, "unknown_feature"]);
  }
  assert.equal((await edge.may({ headers: {} }, "audiobooks")).reason, "no_token");
  assert.ok(errors.every((error) => error instanceof UnknownFeature));
  assert.deepEqual(errors.map((error) => error.message.split('"')[1]), ["constructor", "archiv", "audiobooks"]);
});

test("a revoked token is rejected before it expires", async () => {
  const edge = new Edge(config.url, { apiKey: config.apiKey });
  await edge.start();
  assert.equal((await edge.mayToken(config.token, "archive")).allowed, true);

  const canceled = await fetch(`${config.url}/v1/me/subscription/cancel`, {
    method: "POST",
    headers: { authorization: config.authorization, "content-type": "application/json" },
    body: JSON.stringify({ when: "now" }),
  });
  assert.equal(canceled.status, 200);

  while ((await edge.mayToken(config.token, "archive")).allowed) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal((await edge.mayToken(config.token, "archive")).reason, "token_revoked");
  edge.close();
});

test("nothing is granted while Newsstand is unreachable", async () => {
  const disconnected = new Edge("http://127.0.0.1:9");
  await assert.rejects(disconnected.start(), Unavailable);
  assert.equal((await disconnected.mayToken(config.token, "archive")).reason, "token_unknown_key");
  disconnected.close();
});
