// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {LogAnchor} from "../src/LogAnchor.sol";
import {ILogAnchor} from "../src/interfaces/ILogAnchor.sol";
import {Network} from "./Network.sol";

contract LogAnchorKeysTest is Network {
    string private constant ORIGIN = "silkledger.example/embedded";
    bytes32 private constant ORIGIN_ID = keccak256(bytes(ORIGIN));
    address private constant OPERATOR = address(0x0FE2A702);
    bytes private constant FIRST = hex"0101";
    bytes private constant SECOND = hex"0102";

    LogAnchor private log;

    function setUp() public {
        _deployNetwork();
        log = new LogAnchor(address(signedCalls));
        vm.prank(OPERATOR);
        log.registerOrigin(ORIGIN, FIRST, 0);
    }

    function test_a_key_is_added_and_ended_each_a_dated_record() public {
        bytes32 head = log.headOf(ORIGIN_ID);
        _expectKeys(FIRST, "");
        vm.roll(block.number + 3);
        vm.expectEmit(address(log));
        emit ILogAnchor.LogKeyAdded(ORIGIN_ID, SECOND);
        _add(SECOND);
        vm.snapshotGasLastCall("LogAnchor", "add log key");
        head = _extended(head, abi.encode(uint8(2), SECOND));
        vm.assertEq(log.headOf(ORIGIN_ID), head, "head over the addition");
        _expectKeys(FIRST, SECOND);
        vm.roll(block.number + 3);
        vm.expectEmit(address(log));
        emit ILogAnchor.LogKeyEnded(ORIGIN_ID, FIRST);
        _end(FIRST);
        vm.snapshotGasLastCall("LogAnchor", "end log key");
        head = _extended(head, abi.encode(uint8(3), FIRST));
        vm.assertEq(log.headOf(ORIGIN_ID), head, "head over the end");
        _expectKeys(SECOND, "");
    }

    function test_only_the_controller_of_a_known_origin_says_which_keys_count() public {
        bytes32 unknown = keccak256("?");
        vm.assertEq(log.logKeys(unknown).length, 0, "none for an unknown origin");
        _revertsWith(abi.encodeWithSelector(ILogAnchor.OriginUnknown.selector, unknown));
        log.addLogKey(unknown, SECOND);
        _revertsWith(abi.encodeWithSelector(ILogAnchor.OriginUnknown.selector, unknown));
        log.endLogKey(unknown, SECOND);
        _revertsWith(abi.encodeWithSelector(ILogAnchor.NotController.selector, ORIGIN_ID, address(this)));
        log.addLogKey(ORIGIN_ID, SECOND);
        _add(SECOND);
        _revertsWith(abi.encodeWithSelector(ILogAnchor.NotController.selector, ORIGIN_ID, address(this)));
        log.endLogKey(ORIGIN_ID, FIRST);
        _expectKeys(FIRST, SECOND);
    }

    function test_the_author_of_a_signed_call_is_the_controller() public {
        bytes32 originId = keccak256("other");
        vm.prank(actor);
        log.registerOrigin("other", FIRST, 0);
        bytes memory data = abi.encodeCall(ILogAnchor.addLogKey, (originId, SECOND));
        (bool returned,) = address(log).call(abi.encodePacked(data, actor));
        vm.assertFalse(returned, "the suffix of anybody but the forwarder is noise");
        vm.prank(address(signedCalls));
        (returned,) = address(log).call(abi.encodePacked(data, actor));
        vm.assertTrue(returned && log.logKeys(originId).length == 2, "the suffix is the controller");
    }

    function test_what_counts_is_not_added_and_what_is_over_never_again() public {
        _revertsWith(abi.encodeWithSelector(ILogAnchor.LogKeyCounts.selector, ORIGIN_ID, FIRST));
        _add(FIRST);
        _add(SECOND);
        _revertsWith(abi.encodeWithSelector(ILogAnchor.LogKeyCounts.selector, ORIGIN_ID, SECOND));
        _add(SECOND);
        _end(FIRST);
        _revertsWith(abi.encodeWithSelector(ILogAnchor.LogKeyOver.selector, ORIGIN_ID, FIRST));
        _add(FIRST);
        _revertsWith(abi.encodeWithSelector(ILogAnchor.LogKeyAbsent.selector, ORIGIN_ID, FIRST));
        _end(FIRST);
        // What is over for one origin is not for another.
        vm.prank(OPERATOR);
        log.registerOrigin("other", SECOND, 0);
        vm.prank(OPERATOR);
        log.addLogKey(keccak256("other"), FIRST);
        _expectKeys(SECOND, "");
    }

    function test_the_last_key_and_a_key_that_is_not_there_are_not_ended() public {
        _revertsWith(abi.encodeWithSelector(ILogAnchor.LastLogKey.selector, ORIGIN_ID));
        _end(FIRST);
        _revertsWith(abi.encodeWithSelector(ILogAnchor.LogKeyAbsent.selector, ORIGIN_ID, SECOND));
        _end(SECOND);
        _expectKeys(FIRST, "");
    }

    function test_malformed_keys_are_refused() public {
        bytes[2] memory bad = [bytes(""), new bytes(257)];
        for (uint256 i = 0; i < bad.length; ++i) {
            _revertsWith(abi.encodeWithSelector(ILogAnchor.LogKeyMalformed.selector));
            _add(bad[i]);
            _revertsWith(abi.encodeWithSelector(ILogAnchor.LogKeyMalformed.selector));
            _end(bad[i]);
        }
        _add(new bytes(256));
    }

    function test_at_most_eight_keys_count_at_a_time() public {
        for (uint8 i = 2; i <= 8; ++i) {
            _add(abi.encodePacked(i));
        }
        _revertsWith(abi.encodeWithSelector(ILogAnchor.TooManyLogKeys.selector, ORIGIN_ID));
        _add(hex"09");
        _end(hex"05");
        _add(hex"09");
        vm.assertEq(log.logKeys(ORIGIN_ID).length, 8, "eight");
    }

    function test_a_retired_origin_takes_no_further_key_and_may_end_one() public {
        _add(SECOND);
        vm.prank(OPERATOR);
        log.registerOrigin("next", FIRST, ORIGIN_ID);
        _revertsWith(abi.encodeWithSelector(ILogAnchor.OriginRetired.selector, ORIGIN_ID));
        _add(hex"0103");
        _end(FIRST);
        _expectKeys(SECOND, "");
    }

    function testFuzz_whoever_is_not_the_controller_changes_nothing(address stranger, bytes calldata key)
        public
    {
        vm.assume(stranger != OPERATOR && stranger != address(signedCalls));
        vm.assume(key.length != 0 && key.length <= 256);
        bytes32 head = log.headOf(ORIGIN_ID);
        _revertsWith(abi.encodeWithSelector(ILogAnchor.NotController.selector, ORIGIN_ID, stranger));
        vm.prank(stranger);
        log.addLogKey(ORIGIN_ID, key);
        vm.assertEq(log.headOf(ORIGIN_ID), head, "nothing recorded");
    }

    function testFuzz_any_key_of_its_length_is_recorded_as_given(bytes calldata key) public {
        vm.assume(key.length != 0 && key.length <= 256 && keccak256(key) != keccak256(FIRST));
        bytes32 head = log.headOf(ORIGIN_ID);
        _add(key);
        vm.assertEq(log.headOf(ORIGIN_ID), _extended(head, abi.encode(uint8(2), key)), "recorded");
        _expectKeys(FIRST, key);
    }

    function _add(bytes memory key) private {
        vm.prank(OPERATOR);
        log.addLogKey(ORIGIN_ID, key);
    }

    function _end(bytes memory key) private {
        vm.prank(OPERATOR);
        log.endLogKey(ORIGIN_ID, key);
    }

    function _extended(bytes32 head, bytes memory record) private view returns (bytes32) {
        return keccak256(abi.encode(head, uint64(block.number), keccak256(record)));
    }

    function _expectKeys(bytes memory one, bytes memory other) private view {
        bytes[] memory keys = log.logKeys(ORIGIN_ID);
        vm.assertEq(keys.length, other.length == 0 ? 1 : 2, "number of keys");
        vm.assertEq(keys[0], one, "one");
        if (keys.length == 2) vm.assertEq(keys[1], other, "other");
    }
}
