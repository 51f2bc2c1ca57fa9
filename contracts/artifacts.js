// Writes artifacts/<Name>.json from forge's output: only what deploying and decoding need, in a fixed order.
const { readFileSync, writeFileSync } = require("fs");
const { join } = require("path");
const NAMES = ["NetworkDirectory", "SignedCalls", "LogAnchor", "IdentityRegistry", "TrustRegistry", "DocumentStatus", "SettlementLedger"];
const EIP170_LIMIT = 24576; // bytes of deployed code
for (const contractName of NAMES) {
  const built = JSON.parse(readFileSync(join(__dirname, "out", `${contractName}.sol`, `${contractName}.json`), "utf8"));
  const [bytecode, deployedBytecode] = [built.bytecode.object, built.deployedBytecode.object];
  if (!/^0x[0-9a-f]+$/.test(bytecode)) throw new Error(`${contractName}: bytecode is not complete`);
  const size = (deployedBytecode.length - 2) / 2;
  if (size > EIP170_LIMIT) throw new Error(`${contractName}: ${size} bytes of code, more than EIP-170 allows`);
  const artifact = { contractName, abi: built.abi, bytecode, deployedBytecode };
  writeFileSync(join(__dirname, "artifacts", `${contractName}.json`), JSON.stringify(artifact, null, 1) + "\n");
  console.log(`${contractName.padEnd(18)}${String(size).padStart(6)} bytes`);
}
