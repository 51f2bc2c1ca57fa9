// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ISettlementLedger} from "./interfaces/ISettlementLedger.sol";
import {ERC2771Context} from "@openzeppelin/contracts/metatx/ERC2771Context.sol";

/// @title The payment state machine on salted commitments
/// @notice Every act asks a `_refusal…` function first and records second, so that nothing reverts.
contract SettlementLedger is ISettlementLedger, ERC2771Context {
    uint8 private constant OPEN = 1;
    uint8 private constant ACCEPTED = 2;
    uint8 private constant REPORTED = 3;
    uint8 private constant SETTLED = 4;
    uint8 private constant CREDITED = 5;
    uint8 private constant REJECTED = 6;
    uint8 private constant CANCELLED = 7;
    uint8 private constant EXPIRED = 8;
    uint8 private constant RETURNED = 9;
    uint8 private constant ENTRY_CANCEL_REQUESTED = 10;
    uint8 private constant ENTRY_CANCEL_REFUSED = 11;
    uint8 private constant ENTRY_LINKED = 12;
    uint8 private constant ENTRY_CONFIRMED = 13;

    uint8 private constant UNKNOWN = 1;
    uint8 private constant TAKEN = 2;
    uint8 private constant NOT_PARTY = 3;
    uint8 private constant WRONG_STATE = 4;
    uint8 private constant OTHER_COMMITMENT = 5;
    uint8 private constant TOO_LATE = 6;
    uint8 private constant TOO_EARLY = 7;
    uint8 private constant BAD_ARGUMENT = 8;
    uint8 private constant REPEATED = 9;
    uint8 private constant LEGS_DIFFER = 10;

    /// @dev Bits of a set of parties.
    uint8 private constant DEBTOR = 1;
    uint8 private constant CREDITOR = 2;

    mapping(bytes32 paymentId => Payment) private _payments;

    /// @param forwarder The SignedCalls contract.
    constructor(address forwarder) ERC2771Context(forwarder) {}

    /// @inheritdoc ISettlementLedger
    function open(bytes32 paymentId, bytes32 commitment, address creditor, uint64 expiryBlock) external {
        uint8 refusal = _refusalToOpen(paymentId, commitment, creditor, expiryBlock);
        if (refusal != 0) return _refuse(paymentId, refusal);
        _open(paymentId, commitment, creditor, expiryBlock, 0);
    }

    /// @inheritdoc ISettlementLedger
    function accept(bytes32 paymentId, bytes32 commitment) external {
        Payment storage payment = _payments[paymentId];
        uint8 refusal = _refusalFor(payment, CREDITOR);
        if (refusal == 0 && payment.commitment != commitment) refusal = OTHER_COMMITMENT;
        if (refusal == 0 && payment.state == ACCEPTED) refusal = REPEATED;
        if (refusal == 0 && payment.state != OPEN) refusal = WRONG_STATE;
        if (refusal == 0 && block.number > payment.expiryBlock) refusal = TOO_LATE;
        if (refusal != 0) return _refuse(paymentId, refusal);
        _move(paymentId, ACCEPTED, commitment);
    }

    /// @inheritdoc ISettlementLedger
    function reject(bytes32 paymentId, bytes32 reasonCommitment) external {
        Payment storage payment = _payments[paymentId];
        uint8 refusal = _refusalFor(payment, CREDITOR);
        if (refusal == 0 && payment.state == REJECTED) refusal = REPEATED;
        if (refusal == 0 && payment.state != OPEN) refusal = WRONG_STATE;
        if (refusal != 0) return _refuse(paymentId, refusal);
        _move(paymentId, REJECTED, reasonCommitment);
    }

    /// @inheritdoc ISettlementLedger
    function cancel(bytes32 paymentId) external {
        Payment storage payment = _payments[paymentId];
        uint8 party = _partyOf(payment);
        uint8 refusal = _refusalFor(payment, DEBTOR | CREDITOR);
        if (refusal == 0 && payment.state == CANCELLED) refusal = REPEATED;
        if (refusal == 0 && payment.state != OPEN && payment.state != ACCEPTED) refusal = WRONG_STATE;
        // Once one side has the institution's word there is nothing left to cancel: only a return.
        if (refusal == 0 && _confirmedByAny(payment)) refusal = WRONG_STATE;
        if (refusal == 0 && party == CREDITOR && !payment.cancelRequested) refusal = NOT_PARTY;
        if (refusal == 0 && party == DEBTOR && payment.cancelRequested) refusal = REPEATED;
        if (refusal != 0) return _refuse(paymentId, refusal);
        if (party == DEBTOR && payment.state == ACCEPTED) {
            payment.cancelRequested = true;
            emit PaymentStateChanged(paymentId, ENTRY_CANCEL_REQUESTED, _msgSender(), 0);
        } else {
            payment.cancelRequested = false;
            _move(paymentId, CANCELLED, 0);
        }
    }

    /// @inheritdoc ISettlementLedger
    function refuseCancel(bytes32 paymentId) external {
        Payment storage payment = _payments[paymentId];
        uint8 refusal = _refusalFor(payment, CREDITOR);
        if (refusal == 0 && !payment.cancelRequested) refusal = WRONG_STATE;
        if (refusal != 0) return _refuse(paymentId, refusal);
        payment.cancelRequested = false;
        emit PaymentStateChanged(paymentId, ENTRY_CANCEL_REFUSED, _msgSender(), 0);
    }

    /// @inheritdoc ISettlementLedger
    function expire(bytes32 paymentId) external {
        Payment storage payment = _payments[paymentId];
        uint8 refusal = 0;
        if (payment.state == 0) refusal = UNKNOWN;
        else if (payment.state == EXPIRED) refusal = REPEATED;
        else if (payment.state != OPEN) refusal = WRONG_STATE;
        else if (block.number <= payment.expiryBlock) refusal = TOO_EARLY;
        if (refusal != 0) return _refuse(paymentId, refusal);
        _move(paymentId, EXPIRED, 0);
    }

    /// @inheritdoc ISettlementLedger
    function reportSettled(bytes32 paymentId, bytes32 evidence) external {
        Payment storage payment = _payments[paymentId];
        uint8 party = _partyOf(payment);
        uint8 refusal = _refusalFor(payment, DEBTOR | CREDITOR);
        if (refusal == 0 && evidence == 0) refusal = BAD_ARGUMENT;
        if (refusal == 0 && payment.reportedBy & party != 0) refusal = REPEATED;
        if (refusal == 0 && payment.state != ACCEPTED && payment.state != REPORTED) refusal = WRONG_STATE;
        if (refusal != 0) return _refuse(paymentId, refusal);
        payment.reportedBy |= party;
        payment.cancelRequested = false;
        _move(paymentId, REPORTED, evidence);
    }

    /// @inheritdoc ISettlementLedger
    function confirmSettled(bytes32 paymentId, bytes32 confirmation) external {
        Payment storage payment = _payments[paymentId];
        uint8 party = _partyOf(payment);
        uint8 refusal = _refusalFor(payment, DEBTOR | CREDITOR);
        bytes32 before = party == DEBTOR ? payment.debtorConfirmation : payment.creditorConfirmation;
        if (refusal == 0 && confirmation == 0) refusal = BAD_ARGUMENT;
        if (refusal == 0 && confirmation == before) refusal = REPEATED;
        if (refusal == 0 && payment.state != ACCEPTED && payment.state != REPORTED) refusal = WRONG_STATE;
        if (refusal != 0) return _refuse(paymentId, refusal);
        payment.cancelRequested = false;
        if (party == DEBTOR) payment.debtorConfirmation = confirmation;
        else payment.creditorConfirmation = confirmation;
        emit PaymentStateChanged(paymentId, ENTRY_CONFIRMED, _msgSender(), confirmation);
        _settleIfComplete(paymentId);
    }

    /// @inheritdoc ISettlementLedger
    function credited(bytes32 paymentId) external {
        Payment storage payment = _payments[paymentId];
        uint8 refusal = _refusalFor(payment, CREDITOR);
        if (refusal == 0 && payment.state == CREDITED) refusal = REPEATED;
        if (refusal == 0 && payment.state != SETTLED) refusal = WRONG_STATE;
        if (refusal != 0) return _refuse(paymentId, refusal);
        _move(paymentId, CREDITED, payment.commitment);
    }

    /// @inheritdoc ISettlementLedger
    function returnOf(bytes32 paymentId, bytes32 newPaymentId, bytes32 commitment, uint64 expiryBlock)
        external
    {
        Payment storage payment = _payments[paymentId];
        uint8 refusal = _refusalFor(payment, CREDITOR);
        if (refusal == 0 && payment.state != SETTLED && payment.state != CREDITED) refusal = WRONG_STATE;
        if (refusal == 0) refusal = _refusalToOpen(newPaymentId, commitment, payment.debtor, expiryBlock);
        if (refusal == 0 && _stillOpenReturn(payment.returnedBy)) refusal = WRONG_STATE;
        if (refusal != 0) return _refuse(paymentId, refusal);
        payment.returnedBy = newPaymentId;
        _open(newPaymentId, commitment, payment.debtor, expiryBlock, paymentId);
    }

    /// @inheritdoc ISettlementLedger
    function link(bytes32 paymentId, bytes32 otherId) external {
        Payment storage payment = _payments[paymentId];
        uint8 refusal = _refusalFor(payment, DEBTOR);
        if (refusal == 0 && (otherId == 0 || otherId == paymentId)) refusal = BAD_ARGUMENT;
        if (refusal == 0 && payment.linkedTo == otherId) refusal = REPEATED;
        if (refusal == 0 && payment.linkedTo != 0) refusal = LEGS_DIFFER;
        if (refusal == 0 && payment.state != OPEN) refusal = WRONG_STATE;
        bytes32 back = _payments[otherId].linkedTo;
        if (refusal == 0 && back != 0 && back != paymentId) refusal = LEGS_DIFFER;
        if (refusal != 0) return _refuse(paymentId, refusal);
        payment.linkedTo = otherId;
        emit PaymentStateChanged(paymentId, ENTRY_LINKED, _msgSender(), otherId);
    }

    /// @inheritdoc ISettlementLedger
    function paymentOf(bytes32 paymentId) external view returns (Payment memory) {
        return _payments[paymentId];
    }

    function _open(
        bytes32 paymentId,
        bytes32 commitment,
        address creditor,
        uint64 expiryBlock,
        bytes32 returns_
    ) private {
        Payment storage payment = _payments[paymentId];
        payment.debtor = _msgSender();
        payment.creditor = creditor;
        payment.expiryBlock = expiryBlock;
        payment.commitment = commitment;
        payment.returns_ = returns_;
        _move(paymentId, OPEN, commitment);
    }

    /// @dev Settles the payment, with its linked leg or not at all.
    function _settleIfComplete(bytes32 paymentId) private {
        Payment storage payment = _payments[paymentId];
        if (!_confirmedByBoth(payment)) return;
        bytes32 otherId = payment.linkedTo;
        if (otherId == 0) return _settle(paymentId, payment);
        Payment storage other = _payments[otherId];
        bool live = other.state == ACCEPTED || other.state == REPORTED;
        if (!live || other.linkedTo != paymentId || !_confirmedByBoth(other)) return;
        _settle(paymentId, payment);
        _settle(otherId, other);
    }

    function _settle(bytes32 paymentId, Payment storage payment) private {
        _move(paymentId, SETTLED, payment.debtorConfirmation);
        bytes32 first = payment.returns_;
        if (first != 0) _move(first, RETURNED, paymentId);
    }

    function _move(bytes32 paymentId, uint8 state, bytes32 data) private {
        _payments[paymentId].state = state;
        emit PaymentStateChanged(paymentId, state, _msgSender(), data);
    }

    function _refuse(bytes32 paymentId, uint8 reason) private {
        emit PaymentRefused(paymentId, reason, _msgSender());
    }

    /// @dev The same opening again is a repeat; anything else under a taken id is not.
    function _refusalToOpen(bytes32 paymentId, bytes32 commitment, address creditor, uint64 expiryBlock)
        private
        view
        returns (uint8)
    {
        Payment storage payment = _payments[paymentId];
        if (payment.state != 0) {
            bool same = payment.debtor == _msgSender() && payment.creditor == creditor
                && payment.commitment == commitment && payment.expiryBlock == expiryBlock;
            return same ? REPEATED : TAKEN;
        }
        if (paymentId == 0 || commitment == 0) return BAD_ARGUMENT;
        if (creditor == address(0) || creditor == _msgSender()) return BAD_ARGUMENT;
        return expiryBlock <= block.number ? TOO_LATE : 0;
    }

    /// @dev Why the caller cannot act on this payment as one of `parties`; 0 if it can.
    function _refusalFor(Payment storage payment, uint8 parties) private view returns (uint8) {
        if (payment.state == 0) return UNKNOWN;
        return _partyOf(payment) & parties == 0 ? NOT_PARTY : 0;
    }

    function _partyOf(Payment storage payment) private view returns (uint8) {
        address actor = _msgSender();
        if (actor == payment.debtor) return DEBTOR;
        return actor == payment.creditor ? CREDITOR : 0;
    }

    function _stillOpenReturn(bytes32 returnId) private view returns (bool) {
        uint8 state = _payments[returnId].state;
        return state == OPEN || state == ACCEPTED || state == REPORTED;
    }

    function _confirmedByAny(Payment storage payment) private view returns (bool) {
        return payment.debtorConfirmation != 0 || payment.creditorConfirmation != 0;
    }

    function _confirmedByBoth(Payment storage payment) private view returns (bool) {
        return payment.debtorConfirmation != 0 && payment.debtorConfirmation == payment.creditorConfirmation;
    }
}
