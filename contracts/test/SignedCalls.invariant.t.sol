// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {SignedCalls} from "../src/SignedCalls.sol";
import {ISignedCalls} from "../src/interfaces/ISignedCalls.sol";
import {Base} from "./Base.sol";
import {Network, Probe} from "./Network.sol";

/// @dev Relays calls of three authors under four ids each, with other content, gas, chain and time at random.
contract RelayHandler is Base {
    SignedCalls private immutable _signedCalls;
    Probe private immutable _probe;

    mapping(address actor => mapping(bytes32 requestId => bytes32)) public firstDigest;
    bool public digestChanged;
    bool public reverted;
    uint256 public consumed;

    constructor(SignedCalls signedCalls, Probe probe) {
        (_signedCalls, _probe) = (signedCalls, probe);
    }

    function relay(uint256 who, uint256 id, uint256 variant, uint256 outer, bool forged) external {
        uint256 key = 1 + (who % 3);
        bytes32 requestId = bytes32(id % 4);
        ISignedCalls.SignedCall memory call_ = ISignedCalls.SignedCall(
            vm.addr(key),
            address(_probe),
            requestId,
            uint64(block.timestamp + (variant % 2) * 100),
            uint64(120_000 + (variant % 3) * 50_000),
            variant % 5 == 0
                ? abi.encodeCall(Probe.refuse, (variant % 2))
                : abi.encodeCall(Probe.act, (requestId))
        );
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(forged ? 9 : key, _signedCalls.digestOf(call_));
        (bool returned,) = address(_signedCalls).call{gas: _bound(outer, 100_000, 600_000)}(
            abi.encodeCall(ISignedCalls.execute, (call_, abi.encodePacked(r, s, v)))
        );
        if (!returned) reverted = true;
        _note(call_.actor, requestId);
    }

    function pass(uint256 time) external {
        vm.warp(block.timestamp + (time % 50));
    }

    function _note(address actor, bytes32 requestId) private {
        (bytes32 digest,) = _signedCalls.outcomeOf(actor, requestId);
        bytes32 first = firstDigest[actor][requestId];
        if (first == 0 && digest != 0) {
            firstDigest[actor][requestId] = digest;
            ++consumed;
        } else if (first != digest) {
            digestChanged = true;
        }
    }
}

contract SignedCallsInvariant is Network {
    RelayHandler private handler;

    function setUp() public {
        _deployNetwork();
        handler = new RelayHandler(signedCalls, probe);
        _target(address(handler));
    }

    /// @dev An effect happens at most once per (actor, id), and exactly then when the outcome says so.
    function invariant_one_effect_per_id() public view {
        for (uint256 key = 1; key <= 3; ++key) {
            for (uint256 id = 0; id < 4; ++id) {
                address who = vm.addr(key);
                uint8 outcome = _outcome(who, bytes32(id));
                vm.assertEq(probe.acts(who, bytes32(id)), outcome == 1 ? 1 : 0, "effects match the outcome");
            }
        }
        vm.assertEq(probe.acts(vm.addr(9), 0), 0, "nothing in the forger's name");
    }

    /// @dev What used an id up never changes; with gas for reporting nothing reverts.
    function invariant_ids_are_write_once_and_nothing_reverts() public view {
        vm.assertFalse(handler.digestChanged(), "digest of an id changed");
        vm.assertFalse(handler.reverted(), "a relayed call reverted");
    }
}
