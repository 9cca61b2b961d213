// The JavaScript client, for a test beside it: a line of JSON in ({token, features, refresh}), and the answers as one out.
import { createInterface } from "node:readline";

import { Edge } from "../../clients/js/index.js";

const edge = new Edge(process.argv[2], { apiKey: process.argv[3] });
await edge.refresh();
console.log("ready");
for await (const line of createInterface({ input: process.stdin })) {
  const { token, features, refresh } = JSON.parse(line);
  if (refresh) await edge.refresh();
  const answers = await Promise.all(features.map(async (name) => [name, await edge.mayToken(token, name)]));
  console.log(JSON.stringify(Object.fromEntries(answers)));
}
