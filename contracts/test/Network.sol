// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {NetworkDirectory} from "../src/NetworkDirectory.sol";
import {SignedCalls} from "../src/SignedCalls.sol";
import {ISignedCalls} from "../src/interfaces/ISignedCalls.sol";
import {Base} from "./Base.sol";
import {ERC2771Context} from "@openzeppelin/contracts/metatx/ERC2771Context.sol";

/// @dev A target that shows what reached it.
contract Probe is ERC2771Context {
    error Refusing(uint256 number);

    mapping(address sender => mapping(bytes32 tag => uint256)) public acts;
    uint256 public gasSeen;
    bytes public dataSeen;

    constructor(address forwarder) ERC2771Context(forwarder) {}

    function act(bytes32 tag) external {
        gasSeen = gasleft();
        dataSeen = msg.data;
        ++acts[_msgSender()][tag];
    }

    function refuse(uint256 number) external pure {
        revert Refusing(number);
    }

    /// @dev Fails with as much return data as its gas pays for, up to `size` bytes.
    function bomb(uint256 size) external pure {
        assembly {
            revert(mload(0x40), size)
        }
    }

    function spin() external pure {
        while (true) {}
    }

    /// @dev Has another signed call executed from within.
    function reenter(ISignedCalls.SignedCall calldata call_, bytes calldata signature) external {
        ISignedCalls(trustedForwarder()).execute(call_, signature);
        ++acts[_msgSender()][keccak256("reenter")];
    }
}

/// @dev Deploys SignedCalls and a directory that lists it, a probe and `_listed`.
abstract contract Network is Base {
    uint256 internal constant KEY = 0xA11CE;
    SignedCalls internal signedCalls;
    NetworkDirectory internal directory;
    Probe internal probe;
    address internal actor;

    function _deployNetwork() internal {
        vm.chainId(7317);
        vm.warp(1_800_000_000);
        vm.roll(100);
        actor = vm.addr(KEY);
        uint64 nonce = vm.getNonce(address(this));
        signedCalls = new SignedCalls(vm.computeCreateAddress(address(this), nonce + 2));
        probe = new Probe(address(signedCalls));
        string[] memory names = new string[](2);
        address[] memory addresses = new address[](2);
        (names[0], names[1]) = ("SignedCalls", "Probe");
        (addresses[0], addresses[1]) = (address(signedCalls), address(probe));
        directory = new NetworkDirectory(names, addresses);
    }

    function _call(bytes32 requestId, bytes memory data)
        internal
        view
        returns (ISignedCalls.SignedCall memory)
    {
        return ISignedCalls.SignedCall(
            actor, address(probe), requestId, uint64(block.timestamp + 600), 200_000, data
        );
    }

    function _sign(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function _signed(ISignedCalls.SignedCall memory call_) internal view returns (bytes memory) {
        return _sign(KEY, signedCalls.digestOf(call_));
    }

    function _outcome(address who, bytes32 requestId) internal view returns (uint8 outcome) {
        (, outcome) = signedCalls.outcomeOf(who, requestId);
    }
}
