// Answers the two calls forge makes: --version, and --standard-json (JSON in on stdin, JSON out on stdout).
const solc = require("../node_modules/solc");
if (process.argv.includes("--version")) console.log(`solc, the solidity compiler\nVersion: ${solc.version()}`);
else if (process.argv.includes("--standard-json")) process.stdout.write(solc.compile(require("fs").readFileSync(0, "utf8")));
else process.exit(2);
