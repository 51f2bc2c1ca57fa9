// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {SettlementLedger} from "../src/SettlementLedger.sol";
import {ISettlementLedger} from "../src/interfaces/ISettlementLedger.sol";
import {Base} from "./Base.sol";

contract SettlementLedgerTest is Base {
    bytes32 private constant A = "payment a";
    bytes32 private constant B = "payment b";
    bytes32 private constant TERMS = "terms";
    bytes32 private constant WORD = "institution's word";
    address private constant DEBTOR = address(0xD1);
    address private constant CREDITOR = address(0xC1);
    address private constant STRANGER = address(0x57);

    SettlementLedger private ledger;

    function setUp() public {
        vm.roll(100);
        ledger = new SettlementLedger(address(0xF0));
    }

    function test_from_open_to_credited() public {
        _expect(A, 1, DEBTOR, TERMS);
        _open(A, 110);
        _expect(A, 2, CREDITOR, TERMS);
        _accept(A);
        _expect(A, 3, DEBTOR, "evidence");
        _by(DEBTOR).reportSettled(A, "evidence");
        _expect(A, 3, CREDITOR, "seen too");
        _by(CREDITOR).reportSettled(A, "seen too");
        _expect(A, 13, DEBTOR, WORD);
        _by(DEBTOR).confirmSettled(A, WORD);
        vm.assertEq(_state(A), 3, "one side is not enough");
        _expect(A, 13, CREDITOR, WORD);
        _expect(A, 4, CREDITOR, WORD);
        _by(CREDITOR).confirmSettled(A, WORD);
        _expect(A, 5, CREDITOR, TERMS);
        _by(CREDITOR).credited(A);
        vm.assertEq(_state(A), 5, "credited");
    }

    function test_repeats_and_taken_ids() public {
        _open(A, 110);
        _refused(A, 9, DEBTOR);
        _open(A, 110);
        _refused(A, 2, DEBTOR);
        _open(A, 111);
        _refused(A, 2, STRANGER);
        _by(STRANGER).open(A, TERMS, CREDITOR, 110);
        _accept(A);
        _refused(A, 9, CREDITOR);
        _accept(A);
        _by(DEBTOR).reportSettled(A, "evidence");
        _refused(A, 9, DEBTOR);
        _by(DEBTOR).reportSettled(A, "again");
        _by(DEBTOR).confirmSettled(A, WORD);
        _refused(A, 9, DEBTOR);
        _by(DEBTOR).confirmSettled(A, WORD);
    }

    function test_bad_arguments_open_nothing() public {
        _refused(0, 8, DEBTOR);
        _by(DEBTOR).open(0, TERMS, CREDITOR, 110);
        _refused(A, 8, DEBTOR);
        _by(DEBTOR).open(A, 0, CREDITOR, 110);
        _refused(A, 8, DEBTOR);
        _by(DEBTOR).open(A, TERMS, address(0), 110);
        _refused(A, 8, DEBTOR);
        _by(DEBTOR).open(A, TERMS, DEBTOR, 110);
        _refused(A, 6, DEBTOR);
        _open(A, 100);
        vm.assertEq(_state(A), 0, "nothing opened");
        _refused(A, 1, CREDITOR);
        _accept(A);
    }

    function test_creditor_accepts_the_same_terms_in_time_or_it_expires() public {
        _open(A, 110);
        _refused(A, 5, CREDITOR);
        _by(CREDITOR).accept(A, "other terms");
        _refused(A, 3, DEBTOR);
        _by(DEBTOR).accept(A, TERMS);
        vm.roll(110);
        _refused(A, 7, STRANGER);
        _by(STRANGER).expire(A);
        vm.roll(111);
        _refused(A, 6, CREDITOR);
        _accept(A);
        _expect(A, 8, STRANGER, 0);
        _by(STRANGER).expire(A);
        _refused(A, 4, CREDITOR);
        _accept(A);
        _open(B, 120);
        vm.roll(120);
        _accept(B); // in its last block
        vm.roll(121);
        _refused(B, 4, STRANGER);
        _by(STRANGER).expire(B); // what was accepted does not expire
    }

    function test_reject() public {
        _open(A, 110);
        _refused(A, 3, DEBTOR);
        _by(DEBTOR).reject(A, "reason");
        _expect(A, 6, CREDITOR, "reason");
        _by(CREDITOR).reject(A, "reason");
        _refused(A, 4, CREDITOR);
        _accept(A);
    }

    function test_cancel_alone_while_open_together_once_accepted() public {
        _open(A, 110);
        _refused(A, 3, CREDITOR);
        _by(CREDITOR).cancel(A); // nothing was requested
        _expect(A, 7, DEBTOR, 0);
        _by(DEBTOR).cancel(A);
        _open(B, 110);
        _accept(B);
        _expect(B, 10, DEBTOR, 0);
        _by(DEBTOR).cancel(B);
        vm.assertEq(_state(B), 2, "only requested");
        _expect(B, 11, CREDITOR, 0);
        _by(CREDITOR).refuseCancel(B);
        _refused(B, 3, CREDITOR);
        _by(CREDITOR).cancel(B);
        _by(DEBTOR).cancel(B);
        _expect(B, 7, CREDITOR, 0);
        _by(CREDITOR).cancel(B);
    }

    function test_settlement_ends_a_request_to_cancel() public {
        _open(A, 110);
        _accept(A);
        _by(DEBTOR).cancel(A);
        _by(CREDITOR).confirmSettled(A, WORD);
        _refused(A, 4, CREDITOR);
        _by(CREDITOR).cancel(A);
        _refused(A, 4, DEBTOR);
        _by(DEBTOR).cancel(A);
        _by(DEBTOR).confirmSettled(A, WORD);
        vm.assertEq(_state(A), 4, "settled");
    }

    function test_different_words_settle_nothing_until_corrected() public {
        _open(A, 110);
        _accept(A);
        _by(DEBTOR).confirmSettled(A, "another word");
        _by(CREDITOR).confirmSettled(A, WORD);
        vm.assertEq(_state(A), 2, "they differ");
        _refused(A, 8, DEBTOR);
        _by(DEBTOR).confirmSettled(A, 0);
        _by(DEBTOR).confirmSettled(A, WORD);
        vm.assertEq(_state(A), 4, "settled");
        _refused(A, 4, DEBTOR);
        _by(DEBTOR).confirmSettled(A, "changed my mind");
    }

    function test_after_settled_only_a_return() public {
        _settled(A);
        _refused(A, 4, DEBTOR);
        _by(DEBTOR).cancel(A);
        _refused(A, 4, CREDITOR);
        _by(CREDITOR).reject(A, "late");
        _refused(A, 3, DEBTOR);
        _by(DEBTOR).returnOf(A, B, "back", 120);
        _expect(B, 1, CREDITOR, "back");
        _by(CREDITOR).returnOf(A, B, "back", 120);
        _refused(A, 9, CREDITOR);
        _by(CREDITOR).returnOf(A, B, "back", 120);
        _refused(A, 4, CREDITOR);
        _by(CREDITOR).returnOf(A, "third", "back", 120); // one at a time
        _by(DEBTOR).reject(B, "not like this");
        _by(CREDITOR).returnOf(A, "third", "back", 120);
        _by(DEBTOR).accept("third", "back");
        _by(CREDITOR).confirmSettled("third", "word 2");
        _expect("third", 13, DEBTOR, "word 2");
        _expect("third", 4, DEBTOR, "word 2");
        _expect(A, 9, DEBTOR, "third");
        _by(DEBTOR).confirmSettled("third", "word 2");
        _refused(A, 4, CREDITOR);
        _by(CREDITOR).returnOf(A, "fourth", "back", 120);
    }

    function test_linked_legs_settle_in_one_transaction_or_not_at_all() public {
        _open(A, 110);
        _by(CREDITOR).open(B, "terms b", DEBTOR, 110);
        _expect(A, 12, DEBTOR, B);
        _by(DEBTOR).link(A, B);
        _by(CREDITOR).link(B, A);
        _accept(A);
        _by(DEBTOR).accept(B, "terms b");
        _by(DEBTOR).confirmSettled(A, WORD);
        _by(CREDITOR).confirmSettled(A, WORD);
        vm.assertEq(_state(A), 2, "waits for its leg");
        _by(DEBTOR).confirmSettled(B, "word b");
        _expect(B, 13, CREDITOR, "word b");
        _expect(B, 4, CREDITOR, "word b");
        _expect(A, 4, CREDITOR, WORD);
        _by(CREDITOR).confirmSettled(B, "word b");
        vm.assertTrue(_state(A) == 4 && _state(B) == 4, "both");
    }

    function test_a_link_must_be_mutual_and_stands() public {
        _open(A, 110);
        _by(CREDITOR).open(B, "terms b", DEBTOR, 110);
        _refused(A, 8, DEBTOR);
        _by(DEBTOR).link(A, A);
        _refused(A, 3, CREDITOR);
        _by(CREDITOR).link(A, B);
        _by(DEBTOR).link(A, B);
        _refused(A, 9, DEBTOR);
        _by(DEBTOR).link(A, B);
        _refused(A, 10, DEBTOR);
        _by(DEBTOR).link(A, "third");
        _accept(A);
        _by(DEBTOR).accept(B, "terms b");
        _refused(B, 4, CREDITOR);
        _by(CREDITOR).link(B, A); // after acceptance it is too late
        _by(DEBTOR).confirmSettled(A, WORD);
        _by(CREDITOR).confirmSettled(A, WORD);
        _by(DEBTOR).confirmSettled(B, WORD);
        _by(CREDITOR).confirmSettled(B, WORD);
        vm.assertEq(_state(A), 2, "its leg never linked back");
        vm.assertEq(_state(B), 4, "which is free to settle alone");
        _open("c", 110);
        _refused("c", 10, DEBTOR);
        _by(DEBTOR).link("c", A); // A is promised to another
    }

    /// @dev Whoever calls whatever with whatever: no revert, and no state but by its party.
    function testFuzz_nothing_reverts(uint8 act, address by, bytes32 id, bytes32 word, uint64 block_) public {
        _settled(A);
        _open(B, 150);
        if (act % 3 != 0) id = act % 3 == 1 ? A : B;
        bytes[11] memory calls = [
            abi.encodeCall(ISettlementLedger.open, (id, word, CREDITOR, block_)),
            abi.encodeCall(ISettlementLedger.accept, (id, word)),
            abi.encodeCall(ISettlementLedger.reject, (id, word)),
            abi.encodeCall(ISettlementLedger.cancel, (id)),
            abi.encodeCall(ISettlementLedger.refuseCancel, (id)),
            abi.encodeCall(ISettlementLedger.expire, (id)),
            abi.encodeCall(ISettlementLedger.reportSettled, (id, word)),
            abi.encodeCall(ISettlementLedger.confirmSettled, (id, word)),
            abi.encodeCall(ISettlementLedger.credited, (id)),
            abi.encodeCall(ISettlementLedger.returnOf, (id, word, word, block_)),
            abi.encodeCall(ISettlementLedger.link, (id, word))
        ];
        bytes memory data = calls[act % calls.length];
        if (by == address(0xF0)) data = abi.encodePacked(data, by);
        vm.prank(by);
        (bool returned,) = address(ledger).call(data);
        vm.assertTrue(returned, "an outcome, never a revert");
        if (by != DEBTOR && by != CREDITOR) {
            vm.assertTrue(_state(A) == 4 && _state(B) == 1, "strangers change nothing");
        }
    }

    function _by(address who) private returns (SettlementLedger) {
        vm.prank(who);
        return ledger;
    }

    function _open(bytes32 id, uint64 expiry) private {
        _by(DEBTOR).open(id, TERMS, CREDITOR, expiry);
    }

    function _accept(bytes32 id) private {
        _by(CREDITOR).accept(id, TERMS);
    }

    function _settled(bytes32 id) private {
        _open(id, 110);
        _accept(id);
        _by(DEBTOR).confirmSettled(id, WORD);
        _by(CREDITOR).confirmSettled(id, WORD);
    }

    function _expect(bytes32 id, uint8 state, address by, bytes32 data) private {
        vm.expectEmit(address(ledger));
        emit ISettlementLedger.PaymentStateChanged(id, state, by, data);
    }

    function _refused(bytes32 id, uint8 reason, address by) private {
        vm.expectEmit(address(ledger));
        emit ISettlementLedger.PaymentRefused(id, reason, by);
    }

    function _state(bytes32 id) private view returns (uint8) {
        return ledger.paymentOf(id).state;
    }
}
