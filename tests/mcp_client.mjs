// The SDK that MCP clients are made of: it discovers the authorization server and calls a tool. JSON comes in and goes out.

import { readFileSync } from "node:fs";
import {
  discoverOAuthProtectedResourceMetadata,
  extractWWWAuthenticateParams,
  selectResourceURL,
} from "@modelcontextprotocol/sdk/client/auth.js";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const { server, token, other } = JSON.parse(readFileSync(0, "utf8"));

const challenge = async (headers) => {
  const response = await fetch(server, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: "{}",
  });
  const { resourceMetadataUrl, scope, error } = extractWWWAuthenticateParams(response);
  return { status: response.status, metadata: resourceMetadataUrl?.href, scope, error };
};

const missing = await challenge({});
const lacking = await challenge({ authorization: `Bearer ${other}` });
const told = await discoverOAuthProtectedResourceMetadata(server, { resourceMetadataUrl: missing.metadata });
const guessed = await discoverOAuthProtectedResourceMetadata(server);
const resource = (await selectResourceURL(server, {}, told)).href;

const client = new Client({ name: "test", version: "1.0.0" });
const requestInit = { headers: { authorization: `Bearer ${token}` } };
await client.connect(new StreamableHTTPClientTransport(new URL(server), { requestInit }));
const tools = (await client.listTools()).tools.map((tool) => tool.name);
const { content } = await client.callTool({ name: "whoami" });
await client.close();

console.log(JSON.stringify({ missing, lacking, told, guessed, resource, tools, said: content[0].text }));
