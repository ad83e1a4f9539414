// Sends 20 MB to each path 25 times with Node's fetch, and prints how often it saw which response.
const [origin, ...paths] = process.argv.slice(2);
const outcomes = {};
for (const path of paths) {
  for (const streamed of [false, true]) {
    const seen = {};
    for (let n = 0; n < 25; n++) {
      let outcome;
      try {
        const bytes = new Uint8Array(20_000_000);
        const body = streamed ? new Blob([bytes]).stream() : bytes;
        const response = await fetch(origin + path, { method: 'POST', body, duplex: 'half' });
        outcome = `${response.status} ${(await response.json()).error.code}`;
      } catch (error) {
        outcome = error.cause?.code ?? String(error);
      }
      seen[outcome] = (seen[outcome] ?? 0) + 1;
    }
    outcomes[`${path}${streamed ? ' streamed' : ''}`] = seen;
  }
}
console.log(JSON.stringify(outcomes));
process.exit(0);
