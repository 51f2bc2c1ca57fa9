// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {LogAnchor} from "../src/LogAnchor.sol";
import {Base} from "./Base.sol";

/// @dev A controller and a stranger who add and end twelve keys at random, beside a model of what must come of it.
contract KeyHandler is Base {
    enum Standing {
        Never,
        Counts,
        Over
    }

    uint256 private constant KEYS = 12;

    LogAnchor private immutable _log;
    bytes32 private immutable _originId;
    mapping(uint256 key => Standing) public standing;
    uint256 public counting = 1;
    bytes32 public head;
    bool public wrong;

    constructor() {
        _log = new LogAnchor(address(1));
        _log.registerOrigin("log", _key(0), 0);
        _originId = keccak256("log");
        standing[0] = Standing.Counts;
        head = _log.headOf(_originId);
    }

    function add(uint256 key, uint8 blocks) external {
        key %= KEYS;
        vm.roll(block.number + blocks);
        bool allowed = standing[key] == Standing.Never && counting < 8;
        if (_try(abi.encodeCall(LogAnchor.addLogKey, (_originId, _key(key)))) != allowed) wrong = true;
        if (!allowed) return;
        (standing[key], counting) = (Standing.Counts, counting + 1);
        _extend(abi.encode(uint8(2), _key(key)));
    }

    function end(uint256 key, uint8 blocks) external {
        key %= KEYS;
        vm.roll(block.number + blocks);
        bool allowed = standing[key] == Standing.Counts && counting > 1;
        if (_try(abi.encodeCall(LogAnchor.endLogKey, (_originId, _key(key)))) != allowed) wrong = true;
        if (!allowed) return;
        (standing[key], counting) = (Standing.Over, counting - 1);
        _extend(abi.encode(uint8(3), _key(key)));
    }

    function stranger(uint256 key, bool ends) external {
        bytes memory data = ends
            ? abi.encodeCall(LogAnchor.endLogKey, (_originId, _key(key % KEYS)))
            : abi.encodeCall(LogAnchor.addLogKey, (_originId, _key(key % KEYS)));
        vm.prank(address(0xBAD));
        if (_try(data)) wrong = true;
    }

    /// @dev Whether the contract's keys are exactly those that the model says count.
    function agrees() external view returns (bool) {
        bytes[] memory keys = _log.logKeys(_originId);
        if (keys.length != counting || _log.headOf(_originId) != head) return false;
        uint256 found;
        for (uint256 key = 0; key < KEYS; ++key) {
            for (uint256 i = 0; i < keys.length; ++i) {
                if (keccak256(keys[i]) != keccak256(_key(key))) continue;
                if (standing[key] != Standing.Counts) return false;
                ++found;
            }
        }
        return found == counting;
    }

    function _try(bytes memory data) private returns (bool done) {
        (done,) = address(_log).call(data);
    }

    function _extend(bytes memory record) private {
        head = keccak256(abi.encode(head, uint64(block.number), keccak256(record)));
    }

    function _key(uint256 key) private pure returns (bytes memory) {
        return abi.encodePacked(uint8(1), key);
    }
}

contract LogAnchorKeysInvariant is Base {
    KeyHandler private handler;

    function setUp() public {
        handler = new KeyHandler();
        _target(address(handler));
    }

    /// @dev One to eight keys count, an ended one never again, and the history holds every change with its block.
    function invariant_the_keys_are_those_of_the_history() public view {
        vm.assertTrue(handler.agrees(), "keys and history follow the model");
        vm.assertTrue(handler.counting() >= 1 && handler.counting() <= 8, "one to eight keys");
        vm.assertFalse(
            handler.wrong(), "an act was taken that must be refused, or refused that must be taken"
        );
    }
}
